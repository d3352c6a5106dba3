"""How a run is measured: what a score depends on beside the run."""

from dataclasses import dataclass
from typing import Literal

from gen_jax.errors import ConfigError


@dataclass(frozen=True)
class Protocol:
    """How a run is measured: all that a score depends on beside the run."""

    samples: int | None = None
    """How many samples (default: 10,000 images, 2,500 points)."""
    seed: int = 0
    """Of the samples and of all estimates."""
    weights: Literal["average", "last"] = "average"
    """Which weights of nets that are averaged over training."""
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

    def check(self) -> None:
        """Raises ConfigError for the first option that is out of range."""
        for name, low in (("samples", 1), ("importance_samples", 1), ("splits", 1), ("sampling_steps", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"--{name.replace('_', '-')} is {value}; accepted: a number of at least {low}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed is {self.seed}; accepted: a number from 0 to {2**32 - 1}")
