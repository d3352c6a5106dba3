"""What the command has found, as it is stored: a JSON file from which the tables can be made again."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.speed.measuring import Pairs
from benchmarks.speed.options import NAMES
from gen_jax.errors import ConfigError


@dataclass(frozen=True)
class Cost:
    """What a side, or one way of running it, costs.

    Attributes:
      step: seconds.
      first: seconds from the order to the end of the first step, with everything compiled for the first time.
      again: the same in another process, which finds what was compiled; None where that was not tried.
      stepping: peak of the bytes in memory while stepping.
      process: peak of the whole process, compilation and loading included.
    """

    step: float
    first: float
    stepping: int
    process: int
    again: float | None = None


@dataclass(frozen=True)
class Tried:
    """One of PyTorch's modes, tried by itself.

    Attributes:
      mode: its name.
      cost: None where PyTorch does not do that.
      reason: why not, in PyTorch's words; or why something beside its cost is not known.
      disagreement: of its gradients from eager PyTorch's, as a share; None where that was not asked.
    """

    mode: str
    cost: Cost | None = None
    reason: str = ""
    disagreement: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A workload on both sides.

    Attributes:
      name: of the workload.
      title: of the workload.
      examples: images a step.
      parameters: in all networks, on either side.
      mode: PyTorch's best.
      pairs: turns of gen_jax and of that.
      ours: gen_jax's cost.
      theirs: that of PyTorch's best mode.
      tried: all of PyTorch's modes.
      flops: of a step, matrix products and convolutions alone.
    """

    name: str
    title: str
    examples: int
    parameters: int
    mode: str
    pairs: Pairs
    ours: Cost
    theirs: Cost
    tried: Sequence[Tried]
    flops: float | None = None


@dataclass(frozen=True)
class PublicJob:
    """The same job by a public trainer and by an experiment's command, in pairs.

    Attributes:
      name: of the public trainer's package.
      title: what is trained.
      examples: images that each side learns from in all of a run's timed steps.
      our_parameters: of gen_jax's networks.
      their_parameters: of the trainer's.
      training: seconds of training for one image, data loading included, without imports and compilation.
      command: seconds of the whole command.
    """

    name: str
    title: str
    examples: int
    our_parameters: int
    their_parameters: int
    training: Pairs
    command: Pairs


T = TypeVar("T", Comparison, PublicJob)


@dataclass(frozen=True)
class Started:
    """How long a command line takes to begin.

    Attributes:
      command: without `python -m`.
      cold: {what had happened: seconds from the start of Python}, with empty caches.
      warm: the same, with what the first time has left in them.
    """

    command: str
    cold: Mapping[str, float]
    warm: Mapping[str, float]


@dataclass(frozen=True)
class Results:
    """What one run of the command has found, or several on the same machine.

    Attributes:
      machine: what it ran on, by name.
      commands: how to do it again.
      device: "cpu" or "gpu".
      precision: of all workloads.
      comparisons: of workloads.
      jobs: of public trainers.
      started: of command lines.
      failed: {workload: why it could not be measured}.
      ceiling: {side: floating-point operations a second of a product of large matrices}.
    """

    machine: Mapping[str, str]
    commands: Sequence[str]
    device: str
    precision: str
    comparisons: Sequence[Comparison] = field(default_factory=list)
    jobs: Sequence[PublicJob] = field(default_factory=list)
    started: Sequence[Started] = field(default_factory=list)
    failed: Mapping[str, str] = field(default_factory=dict)
    ceiling: Mapping[str, float] = field(default_factory=dict)

    def and_then(self, later: "Results") -> "Results":
        """These, with what was measured later in the place of what it repeats.

        Raises:
          ConfigError: the two are of another device, precision or machine.
        """
        for what in ("device", "precision"):
            if getattr(self, what) != getattr(later, what):
                raise ConfigError(f"--out has results of {what} {getattr(self, what)}, not {getattr(later, what)}")
        # Without PyTorch's workloads its version is not among them.
        for what in self.machine.keys() & later.machine.keys() - {"date"}:
            if self.machine[what] != later.machine[what]:
                raise ConfigError(f"--out has results of {what} {self.machine[what]}, not {later.machine[what]}")
        found = {*(one.name for one in later.comparisons), *(one.name for one in later.jobs)}
        failed = {name: why for name, why in self.failed.items() if name not in found}
        return dataclasses.replace(
            later,
            machine={**self.machine, **later.machine, "date": _joined(self.machine["date"], later.machine["date"])},
            commands=list(dict.fromkeys([*self.commands, *later.commands])),
            comparisons=_replaced(self.comparisons, later.comparisons),
            jobs=_replaced(self.jobs, later.jobs),
            started=later.started or self.started,
            failed={**failed, **later.failed},
            ceiling=later.ceiling or self.ceiling,
        )

    def write(self, path: Path) -> None:
        """As JSON. Raises ConfigError where that cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What `write` wrote. Raises ConfigError for a file of anything else."""
        try:
            stored: dict[str, Any] = json.loads(path.read_text())
            stored["comparisons"] = [_comparison(entry) for entry in stored["comparisons"]]
            stored["jobs"] = [_job(entry) for entry in stored["jobs"]]
            stored["started"] = [Started(**entry) for entry in stored["started"]]
            return cls(**stored)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} does not hold what `python -m benchmarks.speed` writes") from error


def _joined(first: str, last: str) -> str:
    """Two dates in one."""
    return last if first.endswith(last) else f"{first.partition(' ')[0]} to {last}"


def _replaced(old: Sequence[T], new: Sequence[T]) -> list[T]:
    """The new ones, and the old ones of other names, in their order."""
    by_name = dict([(one.name, one) for one in old] + [(one.name, one) for one in new])
    return [by_name[name] for name in sorted(by_name, key=NAMES.index)]


def _comparison(stored: dict[str, Any]) -> Comparison:
    tried = [Tried(**{**one, "cost": one["cost"] and Cost(**one["cost"])}) for one in stored["tried"]]
    sides = {side: Cost(**stored[side]) for side in ("ours", "theirs")}
    return Comparison(**{**stored, **sides, "pairs": Pairs(**stored["pairs"]), "tried": tried})


def _job(stored: dict[str, Any]) -> PublicJob:
    return PublicJob(**{**stored, **{name: Pairs(**stored[name]) for name in ("training", "command")}})
