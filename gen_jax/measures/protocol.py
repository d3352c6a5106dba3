"""How a run is measured: what a score depends on beside the run."""

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from gen_jax.errors import ConfigError

# What numbers may be. JAX would take any other seed modulo 2^32 without a word.
RANGES = {
    "samples": (1, 10_000_000),
    "seed": (0, 2**32 - 1),
    "sampling_steps": (1, 100_000),
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
    sampler: str | None = None
    """Of a diffusion: ancestral or ddim (default: as the run is configured)."""
    sampling_steps: int | None = None
    """Steps of the sampler of a diffusion (default: as the run is configured)."""
    reference: Literal["test", "train"] = "test"
    """The real data that samples are compared with: held out, or trained on."""
    features: Literal["auto", "inception", "classifier"] = "auto"
    """Inception-v3, or a classifier of the data's labels; auto: Inception for colour, where its weights are there."""
    importance_samples: int = 500
    """Draws of the latents for each image, for nll."""
    splits: int = 10
    """Of the samples, for inception_score."""

    @property
    def sampling(self) -> dict[str, str | int]:
        """What of a run's configuration is to be other than it was."""
        given = {"sampler": self.sampler, "sampling_steps": self.sampling_steps}
        return {name: value for name, value in given.items() if value is not None}

    def check(self) -> None:
        """Raises ConfigError for the first option that is out of range. Which samplers there are, the run knows."""
        kinds = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), get_args(kinds[field.name])
            if field.name in RANGES:
                low, high = RANGES[field.name]
                fits = (type(value) is int and low <= value <= high) or (value is None and type(None) in choices)
                accepted = f"a number from {low} to {high}"
            elif str in choices:
                continue
            else:
                fits, accepted = value in choices, ", ".join(choices)
            if not fits:
                raise ConfigError(f"--{field.name.replace('_', '-')} is {value!r}; accepted: {accepted}")
