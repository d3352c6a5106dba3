"""Settings with which a run would fit, found by compiling it with them."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from gen_jax.config import Config, flag, shown
from gen_jax.data import Dataset
from gen_jax.errors import ConfigError
from gen_jax.experiment import Experiment
from gen_jax.preflight.programs import Setting
from gen_jax.preflight.report import Announce, Preflight, preflight
from gen_jax.training.state import State

# A state of this share of the memory or more is worth splitting.
LARGE_STATE = 0.1
# One device holds the state's arguments in as many parts at most; more need longer to be brought together.
MOST_PARTS = 64

Change = dict[str, Any]


@dataclass(frozen=True)
class Advice:
    """Settings that would fit.

    Attributes:
      change: the fields of the configuration that are other than asked for.
      found: what was found with them.
    """

    change: Change
    found: Preflight

    @property
    def flags(self) -> str:
        """As they are typed."""
        return " ".join(typed(name, value) for name, value in self.change.items())

    @property
    def memory(self) -> int:
        """Bytes on a device, of the largest program."""
        return max(program.memory.total for program in self.found.programs if program.memory is not None)


def typed(name: str, value: Any) -> str:
    """A field of the configuration as a flag."""
    return flag(name) if value is True else f"{flag(name)} {shown(value)}"


def state_bytes(state: State) -> int:
    """Bytes of a state on one device.

    Args:
      state: ShapeDtypeStructs with shardings.
    """
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)
    )


def candidates(config: Config, excess: float, state_share: float, devices: int) -> list[Change]:
    """Changes that may make a program fit, those first that change least of what is learned and of how fast.

    What is recomputed or split over devices gives the same results to rounding; what is accumulated draws its noise and
    takes the statistics of the batch a part at a time; bfloat16 rounds more; a smaller batch learns something else.

    Args:
      config: that does not fit.
      excess: how many times the memory that there is it needs.
      state_share: of the memory, that the state takes on one device.
      devices: how many.
    """

    def new(name: str, value: Any) -> list[Change]:
        return [{name: value}] if getattr(config, name) != value else []

    # Powers of two: they divide what the shapes of topologies multiply to.
    factor = 2 ** max(1, math.ceil(math.log2(max(excess, 1.0))))
    # No more parts than leave each device an example.
    most = max(config.batch_size // (devices * config.accumulate), 1)
    factors = sorted({min(times, most) for times in (factor, 2 * factor, 4 * factor)} - {1})
    remat = new("remat", True)
    bfloat16 = new("precision", "bfloat16")
    accumulate = [change for times in factors for change in new("accumulate", config.accumulate * times)]
    parts = [config.fsdp * times for times in (8, 64) if config.fsdp * times <= min(devices, MOST_PARTS)]
    fsdp = [change for part in parts for change in new("fsdp", part)]
    smaller = [change for times in factors for change in new("batch_size", config.batch_size // times)]

    def both(ones: list[Change], others: list[Change]) -> list[Change]:
        return [{**one, **other} for one in ones for other in others]

    split = fsdp if state_share >= LARGE_STATE else []
    ordered = [
        *split,
        *remat,
        *accumulate,
        *both(remat, accumulate),
        *both(split, remat),
        *both(split, accumulate),
        *bfloat16,
        *both(remat, bfloat16),
        *both(both(remat, bfloat16), accumulate),
        *both(both(both(split, remat), bfloat16), accumulate),
        *smaller,
        *both(both(remat, bfloat16), smaller),
    ]
    return [change for number, change in enumerate(ordered) if change not in ordered[:number]]


def confirmed(
    changes: list[Change],
    compile_with: Callable[[Change], Preflight],
    *,
    wanted: int = 2,
    tries: int = 8,
) -> list[Advice]:
    """The first of the changes with which a run fits, each compiled; those that do not apply are passed over.

    Args:
      changes: in the order in which to try them.
      compile_with: what a run with the change comes to; raises ConfigError where it does not apply.
      wanted: how many that fit are enough.
      tries: how many to compile at most.
    """
    found: list[Advice] = []
    for change in changes:
        if len(found) == wanted or not tries:
            break
        if any(set(change) > set(known.change) for known in found):
            # More of what is enough already.
            continue
        try:
            result = compile_with(change)
        except ConfigError:
            continue
        tries -= 1
        if result.fits:
            found.append(Advice(change, result))
    return found


def advise(experiment: Experiment, found: Preflight, dataset: Dataset, announce: Announce) -> list[Advice]:
    """Settings with which a run that does not fit would.

    Args:
      experiment: the method.
      found: what was found of the run.
      dataset: its data.
      announce: is told what is compiled next.
    """
    config, topology = found.config, found.topology
    devices = topology.devices()
    troubles = [program.trouble for program in found.programs if program.trouble is not None]
    needed = max(trouble.needed or 0 for trouble in troubles)
    available = found.available or max(trouble.available or 0 for trouble in troubles)
    state = state_bytes(Setting(experiment, config, dataset, devices).state)
    excess = needed / available if available else 2.0
    changes = candidates(config, excess, state / available if available else 1.0, found.devices)
    troubled = [program.name for program in found.programs if program.trouble is not None]
    others = [program.name for program in found.programs if program.trouble is None]

    def compile_with(change: Change) -> Preflight:
        changed = dataclasses.replace(config, **change)
        flags = " ".join(typed(name, value) for name, value in change.items())

        def compiled(programs: list[str]) -> Preflight:
            def say(title: str) -> None:
                announce(f"{title} with {flags}")

            return preflight(experiment, changed, topology, programs, dataset=dataset, devices=devices, announce=say)

        first = compiled(troubled)
        # The others need not be compiled where what did not fit still does not.
        rest = compiled(others).programs if first.fits else ()
        return dataclasses.replace(first, programs=first.programs + rest)

    return confirmed(changes, compile_with)
