"""Devices by the name of a topology: those of a TPU pod that is not here, or those at hand."""

import contextlib
import difflib
import importlib.util
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax

from gen_jax.errors import ConfigError
from gen_jax.preflight.chips import CHIPS, Chip, Shape

HOST = "host"
MOST_SLICES = 256
# What people also call them.
ALIASES = {
    "v5litepod": "v5e",
    "v5lite": "v5e",
    "v6": "v6e",
    "trillium": "v6e",
    "v7": "tpu7x",
    "v7x": "tpu7x",
    "tpu7": "tpu7x",
    "ironwood": "tpu7x",
}
# Without them the TPU compiler asks the network which machine this is, waits for another process that has loaded it,
# and writes of both to the terminal.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_LOG_DIR": "disabled",
}


@dataclass(frozen=True)
class Topology:
    """Slices of a TPU pod, or the devices at hand.

    Attributes:
      chip: of which kind; None for the devices at hand.
      shape: chips along each axis of a slice.
      slices: how many, connected by the data-centre network.
    """

    chip: Chip | None = None
    shape: Shape = ()
    slices: int = 1

    @property
    def name(self) -> str:
        """As it is typed."""
        return HOST if self.chip is None else f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    @property
    def slice_chips(self) -> int:
        """Chips in a slice."""
        return math.prod(self.shape)

    def devices(self) -> list[jax.Device]:
        """All of them, slice by slice; those of a pod can be compiled for, but hold nothing and run nothing.

        Raises:
          ConfigError: the TPU compiler is not installed, or knows no such topology.
        """
        if self.chip is None:
            return jax.devices()
        if importlib.util.find_spec("libtpu") is None:
            raise ConfigError(f"--topology {self.name} needs the TPU compiler: pip install 'gen_jax[tpu]'")
        from jax.experimental import topologies

        options: dict[str, Any] = {"num_slices": self.slices}
        if self.chip.name == "v4":
            # As on Cloud TPUs: the two cores of a chip are one device.
            options["chip_config_name"] = "megacore"
        if self.slice_chips == 1:
            # Else libtpu 0.0.42 asks for a host of 2x2, which one chip does not fill.
            options["chips_per_host_bounds"] = (1, 1, 1)
        try:
            with quiet_compiler():
                found = topologies.get_topology_desc(self.name, "tpu", **options).devices
        except jax.errors.JaxRuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"--topology {self.name} cannot be compiled for: {reason}") from error
        return sorted(found, key=lambda device: (getattr(device, "slice_index", 0) or 0, device.id))


@contextlib.contextmanager
def quiet_compiler() -> Iterator[None]:
    """The environment in which the TPU compiler loads without a TPU, and without a word; it is read at loading."""
    added = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def parse_topology(name: str, slices: int = 1) -> Topology:
    """The topology of a name such as "v5e:16x16" or "host".

    Raises:
      ConfigError: there is none of that name, and which is the nearest; or not so many slices.
    """
    if not 1 <= slices <= MOST_SLICES:
        raise ConfigError(f"--slices is {slices}; accepted: a number from 1 to {MOST_SLICES}")
    if name == HOST:
        if slices != 1:
            raise ConfigError(f"--slices is {slices}; accepted with --topology {HOST}: 1")
        return Topology()
    generation, _, sides = name.partition(":")
    chip = CHIPS.get(generation)
    shape = tuple(map(int, sides.split("x"))) if re.fullmatch(r"\d{1,5}(x\d{1,5})*", sides) else ()
    if chip is None or not chip.offers(shape):
        raise ConfigError(
            f"--topology is {name}; accepted: {HOST}, or GENERATION:SHAPE, such as "
            f"{', '.join(example(chip) for chip in CHIPS.values())}; the nearest is {nearest_topology(name)!r}"
        )
    return Topology(chip, shape, slices)


def example(chip: Chip) -> str:
    """The name of a chip's largest slice among those that are listed, or of four cubes."""
    return Topology(chip, (4, 8, 8) if chip.cubes else chip.shapes[-1]).name


def nearest_topology(name: str) -> str:
    """The offered topology whose name is most like `name`: of the generation meant, one of about as many chips."""
    generation, _, sides = name.lower().partition(":")
    known = [*CHIPS, *ALIASES, HOST]
    found = difflib.get_close_matches(generation, known, 1, cutoff=0.0)[0]
    if found == HOST:
        return HOST
    chip = CHIPS[ALIASES.get(found, found)]
    wanted = [max(int(side), 1) for side in re.findall(r"\d{1,5}", sides)] or [8]
    cubes = [(a, b, c) for a in range(4, 17, 4) for b in range(a, 25, 4) for c in range(b, 37, 4)]
    offered = [*chip.shapes, *(shape for shape in cubes if chip.offers(shape))]

    def distance(shape: Shape) -> tuple[float, float]:
        size = abs(math.log(math.prod(shape) / math.prod(wanted)))
        sides = sorted(wanted + [1] * (len(shape) - len(wanted)))
        form = sum(abs(math.log(a / b)) for a, b in zip(sorted(shape), sides, strict=False))
        return size + form, size

    return Topology(chip, min(offered, key=distance)).name
