"""The configuration that every experiment shares, and how a configuration is checked.

An experiment's own configuration is a frozen dataclass that inherits `Config`. Fields say what they accept in their
annotation, so that a value is refused in the same words everywhere, before anything is compiled or downloaded.
"""

import dataclasses
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from gen_jax.errors import ConfigError


@dataclass(frozen=True)
class Within:
    """A number (or each of a tuple of numbers) in the interval from `low` to `high`, ends included unless `open`."""

    low: int | float = -math.inf
    high: int | float = math.inf
    low_open: bool = False
    high_open: bool = False

    def accepts(self, value: int | float) -> bool:
        """Whether the value lies in the interval; neither NaN nor an infinity ever does."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        if not (self.low_open or self.high_open or math.isinf(self.high)):
            return f"a number from {self.low} to {self.high}"
        low = f"a number {'above' if self.low_open else 'of at least'} {self.low}"
        if math.isinf(self.high):
            return low
        return f"{low} and {'below' if self.high_open else 'at most'} {self.high}"


class Free:
    """Marks a field that does not change what is learned: a run may be continued with another value."""


class AtSampling(Free):
    """Marks a free field that says how samples are made.

    It is a flag of `sample` and `evaluate`, an argument of `load`, and part of the protocol of every score.
    """


Part = Annotated[str | None, Free]
"""The directory of another run that is a part of this one. Not where it lies but what it holds makes a run another."""

Count = Annotated[int, Within(1)]
Steps = Annotated[int, Within(0)]
Period = Annotated[int | None, Within(0), Free]
Rate = Annotated[float, Within(0, 1, low_open=True)]
Decay = Annotated[float, Within(0, 1, high_open=True)]
Weight = Annotated[float, Within(0)]
Widths = Annotated[tuple[int, ...], Within(1)]
Betas = Annotated[tuple[float, float], Within(0, 1, high_open=True)]


@dataclass(frozen=True)
class Training:
    """What is learned from, for how long, and what is seen of it meanwhile."""

    data: str = "digits"
    """What to learn: digits, ring8, grid25, swissroll, the name of a TFDS data set, folder:PATH, or npz:FILE."""
    data_dir: Annotated[str | None, Free] = None
    """Where TFDS data sets are prepared (default: TFDS's own, ~/tensorflow_datasets)."""
    examples: Annotated[int | None, Within(1)] = None
    """Training examples to learn from, always the same, of each class as many (default: all)."""
    image_size: Annotated[int | None, Within(1)] = None
    """Side in pixels to which images are resized and cropped (default: as they are)."""
    skip_bad_images: bool = False
    """Leave out images of a folder that cannot be read, instead of stopping."""
    run_dir: Annotated[str | None, Free] = None
    """Where everything of the run goes (default: runs/EXPERIMENT-DATA). The same command continues it."""
    init_from: str | None = None
    """A run whose networks of the same name and shape this one begins with (default: none)."""
    preset: Annotated[str, Free] = "default"
    """Where the other options start from: default (minutes on a laptop), tiny (seconds), paper (as published), …"""
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    """All randomness follows from it."""
    steps: Annotated[int, Within(1, 2**31 - 1), Free] = 1000
    """Training steps in all; a finished run may be continued with more."""
    batch_size: Count = 128
    """Examples in a batch, over all devices."""
    learning_rate: Rate = 1e-3
    """Step size of the optimizer."""
    log_every: Period = None
    """Steps between lines of training metrics (default: a twentieth of all, at most 500); 0: only at the end."""
    eval_every: Period = None
    """Steps between evaluations, each with a sample grid (default: a quarter of all, at most 20,000); 0: at the end."""
    eval_metrics: Annotated[tuple[str, ...], Free] = ()
    """Scores of samples at each evaluation: fid, kid, inception_score, precision_recall, density_coverage."""
    eval_samples: Annotated[int, Within(2), Free] = 1000
    """Samples for each of them. With fewer than 10,000 the scores compare with nothing but each other."""
    save_every: Period = None
    """Steps between checkpoints (default: a quarter of all, at most 10,000); 0: only at the end."""
    keep: Annotated[int, Within(2), Free] = 2
    """How many of the newest checkpoints to keep."""
    keep_best: Annotated[str | None, Free] = None
    """A metric, such as elbo: the checkpoint at whose step it was evaluated best is kept as well."""
    on_nonfinite: Annotated[Literal["stop", "rollback"], Free] = "stop"
    """At a NaN or infinity: stop, or go back to the last checkpoint and leave out the step that made it."""
    report: Annotated[bool, Free] = True
    """Write report.html at the end: curves, samples, pictures of what the method does."""
    grid_samples: Annotated[int, Within(1, 4096), Free] = 64
    """Images in the sample grid; points take 32 times as many."""


@dataclass(frozen=True)
class Machine:
    """How the work is spread over devices, in which numbers, and what may be traded for memory."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """What networks compute in; parameters and optimizer state are float32 either way."""
    reproducible: bool = False
    """The same bits on 1, 2, 4 or 8 devices, in one process or several; costs some speed."""
    fsdp: Annotated[int, Within(1), Free] = 1
    """Devices over which each array of the state is split; 1: every device holds the whole state."""
    accumulate: Count = 1
    """Parts into which a batch is cut, whose gradients are averaged before the optimizer moves: less memory."""
    remat: Annotated[bool, Free] = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more time."""
    distributed: Annotated[bool, Free] = False
    """One of several processes that JAX can find by itself: a TPU pod, SLURM, Open MPI, Kubernetes."""


@dataclass(frozen=True)
class Config(Machine, Training):
    """Options that every experiment has."""

    @property
    def dtype(self) -> Any:
        """What networks compute in, as a dtype."""
        # Here and not above: a configuration is read before JAX is needed.
        import jax.numpy as jnp

        return jnp.dtype(self.precision)

    def check(self) -> None:
        """Raises ConfigError, naming field, value and what is accepted, for the first field that is out of range."""
        for field, value, interval in constrained(self):
            values = value if isinstance(value, tuple) else (value,)
            if not all(interval.accepts(v) for v in values):
                raise ConfigError(f"{flag(field)} is {shown(value)}; accepted: {interval}")
        for field, kinds in annotations(type(self)).items():
            value, accepted = getattr(self, field), next(filter(None, map(_names, kinds)), ())
            if accepted and value not in accepted:
                raise ConfigError(f"{flag(field)} is {shown(value)}; accepted: {', '.join(accepted)}")

    def unused(self) -> dict[str, str]:
        """The options that do nothing beside the others, and why, as in "{--weight-decay is 0.1;} sgd has none"."""
        return {}


def shown(value: Any) -> str:
    """A value as it is typed on the command line."""
    return " ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def flag(field: str) -> str:
    """The command-line flag of a field."""
    return "--" + field.replace("_", "-")


def annotations(config: type[Config]) -> dict[str, list[Any]]:
    """Every annotation of each field: of the class itself first, then of those that it inherits from."""
    found: dict[str, list[Any]] = {field.name: [] for field in dataclasses.fields(config)}
    for kind in config.__mro__:
        own = vars(kind).get("__annotations__", {}).keys() & found.keys()
        hints = typing.get_type_hints(kind, include_extras=True) if own else {}
        for name in own:
            found[name].append(hints[name])
    return found


def _names(annotation: Any) -> tuple[str, ...]:
    """The names that an annotation accepts; () where it is of another kind."""
    kind = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _markers(config: type[Config]) -> dict[str, tuple[Any, ...]]:
    """What is said of each field beside its type.

    A class that gives an inherited field another default need not repeat it: `steps: int = 4_000` keeps the interval.
    """
    return {
        name: next((kind.__metadata__ for kind in kinds if hasattr(kind, "__metadata__")), ())
        for name, kinds in annotations(config).items()
    }


def constrained(config: Config) -> Iterator[tuple[str, Any, Within]]:
    """Field, value and interval of every field that is set and has an interval."""
    for name, markers in _markers(type(config)).items():
        value = getattr(config, name)
        for marker in markers:
            if isinstance(marker, Within) and value is not None:
                yield name, value, marker


def free_fields(config: type[Config]) -> set[str]:
    """Names of the fields with which a run may be continued differently."""
    return {name for name, markers in _markers(config).items() if Free in markers or AtSampling in markers}


def sampling_fields(config: type[Config]) -> tuple[str, ...]:
    """Names of the fields that say how samples are made, in order."""
    return tuple(name for name, markers in _markers(config).items() if AtSampling in markers)


def kind_of(config: type[Config], name: str) -> Any:
    """The type of a field, without what is said beside it."""
    kind = annotations(config)[name][0]
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def as_json(config: Config) -> dict[str, Any]:
    """The configuration as JSON holds it: tuples become lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()}


def from_json(config: type[Config], stored: dict[str, Any]) -> Config:
    """The configuration that `as_json` stored; fields it lacks take their defaults."""
    names = {field.name for field in dataclasses.fields(config)}
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k in names}
    return config(**fields)
