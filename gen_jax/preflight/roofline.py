"""The least time that a program can take on a chip (Williams et al., 2009, "Roofline", doi 10.1145/1498765.1498785).

Arithmetic, memory, interconnect and network work at the same time at best, so the slowest of them is the bound; that
a program reaches it is not said. Elementwise arithmetic, latencies and the host are left out.
"""

from dataclasses import dataclass

from gen_jax.preflight.chips import Chip
from gen_jax.preflight.collectives import Collective
from gen_jax.preflight.costs import Costs
from gen_jax.preflight.topology import Topology

ARITHMETIC = "arithmetic"
MEMORY = "memory traffic"
INTERCONNECT = "interconnect"
NETWORK = "network"


@dataclass(frozen=True)
class Roofline:
    """Computed, not measured.

    Attributes:
      times: seconds that each of the resources is busy.
      intensity: FLOPs of matrix products for each byte of memory traffic.
      ridge: the intensity from which on a chip is bound by arithmetic.
      examples_per_second: on all chips.
    """

    times: dict[str, float]
    intensity: float
    ridge: float
    examples_per_second: float

    @property
    def seconds(self) -> float:
        """The least time."""
        return max(self.times.values())

    @property
    def bound(self) -> str:
        """What takes that time."""
        return max(self.times, key=lambda name: self.times[name])

    @property
    def share_of_peak(self) -> float:
        """Of the chip's arithmetic that it leaves in use."""
        return self.times[ARITHMETIC] / self.seconds if self.seconds else 0.0


def interconnect_seconds(found: list[Collective], chip: Chip, shape: tuple[int, ...]) -> float:
    """How long the links are busy, if every collective uses all of them.

    A group of several devices a chip is taken to exchange within the chip first, for which the links are not needed;
    then each chip sends what one device would send in a group of chips.
    """
    outgoing = chip.outgoing(shape)
    sent = 0.0
    for each in found:
        chips = max(each.group_size // chip.devices, 1)
        if chips > 1:
            share = each.wire_bytes * (1 - 1 / chips) / (1 - 1 / each.group_size)
            # What only changes places, or is gathered or scattered, leaves the chip for each of its devices.
            sent += share if each.kind == "all-reduce" else share * chip.devices
    return sent / outgoing if sent else 0.0


def roofline(
    costs: Costs, found: list[Collective], between_slices: float, topology: Topology, examples: int
) -> Roofline | None:
    """The bounds of a program; None for devices of which nothing is published here.

    Args:
      costs: of one run, on one device.
      found: its collectives within a slice.
      between_slices: bytes that a device sends to other slices.
      topology: the devices.
      examples: that one run handles, on all devices together.
    """
    chip = topology.chip
    if chip is None:
        return None
    flops, bandwidth = chip.flops / chip.devices, chip.hbm_bandwidth / chip.devices
    times = {
        ARITHMETIC: costs.matrix_flops / flops,
        MEMORY: costs.bytes / bandwidth,
        INTERCONNECT: interconnect_seconds(found, chip, topology.shape),
        NETWORK: between_slices * chip.devices / chip.egress,
    }
    seconds = max(times.values())
    return Roofline(
        times,
        intensity=costs.matrix_flops / costs.bytes if costs.bytes else 0.0,
        ridge=flops / bandwidth,
        examples_per_second=examples / seconds if seconds else 0.0,
    )
