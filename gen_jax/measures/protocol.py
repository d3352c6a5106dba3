"""How a run is measured: what a score depends on beside the run."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args, get_type_hints

import tyro

from gen_jax.errors import ConfigError

# What numbers may be. JAX would take any other seed modulo 2^32 without a word.
RANGES = {
    "samples": (1, 10_000_000),
    "seed": (0, 2**32 - 1),
    "importance_samples": (1, 1_000_000),
    "splits": (1, 10_000),
}


@dataclass(frozen=True)
class Protocol:
    """How a run is measured: all that a score depends on beside the run."""

    samples: int | None = None
    """How many samples (default: 10,000 images, 2,500 points)."""
    seed: int = 0
    """Of the samples and of importance sampling; held_out is measured as in training, with the run's own."""
    weights: Literal["average", "last"] = "average"
    """Which weights of nets that are averaged over training."""
    reference: Literal["test", "train"] = "test"
    """The real data that samples are compared with: held out, or trained on."""
    features: Literal["auto", "inception", "classifier"] = "auto"
    """Inception-v3, or a classifier of the data's labels; auto: Inception for colour, where its weights are there."""
    importance_samples: int = 500
    """Draws of the latents for each image, for nll."""
    splits: int = 10
    """Of the samples, for inception_score."""

    sampling: Annotated[Mapping[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """Options of the run's sampling that are to be other than it was configured."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Protocol":
        """A protocol of its own fields, and of options of the run's sampling, by name."""
        own = {one.name for one in dataclasses.fields(cls)} - {"sampling"}
        return cls(
            **{name: value for name, value in options.items() if name in own},
            sampling={name: value for name, value in options.items() if name not in own and value is not None},
        )

    def check(self) -> None:
        """Raises ConfigError for the first option that is out of range. What a run's sampling takes, the run knows."""
        kinds = get_type_hints(type(self))
        for one in dataclasses.fields(self):
            value, choices = getattr(self, one.name), get_args(kinds[one.name])
            if one.name in RANGES:
                low, high = RANGES[one.name]
                fits = (type(value) is int and low <= value <= high) or (value is None and type(None) in choices)
                accepted = f"a number from {low} to {high}"
            elif one.name == "sampling":
                continue
            else:
                fits, accepted = value in choices, ", ".join(choices)
            if not fits:
                raise ConfigError(f"--{one.name.replace('_', '-')} is {value!r}; accepted: {accepted}")
