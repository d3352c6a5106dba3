"""Autoencoder (Hinton & Salakhutdinov, 2006, doi 10.1126/science.1127647).

    python -m experiments.autoencoder
    python -m experiments.autoencoder --data mnist --data-dir DIR
    python -m gen_jax reconstruct runs/autoencoder-digits

It makes no samples: its grid shows held-out examples and below each its reconstruction. Expect from the defaults
digits that are hard to tell from their reconstructions. The paper's deep network (784-1000-500-250-30) was trained
layer by layer first, which is not done here.
"""

from dataclasses import dataclass

from gen_jax import main
from gen_jax.config import Count, Widths
from gen_jax.data import Unit
from gen_jax.data.info import DataInfo
from gen_jax.experiment import Experiment
from gen_jax.methods import Flip, Optimizer, autoencoder
from gen_jax.models import MLP
from gen_jax.training.game import Game


@dataclass(frozen=True)
class AutoencoderConfig(Optimizer, Flip):
    """Options of the autoencoder."""

    steps: int = 10_000
    features: Widths = (512, 256)
    """Hidden units of each layer of the encoder; the decoder has them in reverse."""
    latent: Count = 16
    """Dimensions of the code."""


def build(config: AutoencoderConfig, data: DataInfo) -> Game:
    """The game of an autoencoder of perceptrons on such data."""
    return autoencoder(
        MLP(config.features, (config.latent,), dtype=config.dtype),
        MLP(config.features[::-1], data.shape, dtype=config.dtype),
        latent=config.latent,
        optimizer=config.transformation(),
        transform=config.transform(data, Unit),
    )


PAPER = {"data": "mnist", "steps": 120_000, "batch_size": 100, "features": (1000, 500, 250), "latent": 30}
TINY = {"steps": 20, "batch_size": 32, "features": (16,), "latent": 4}

EXPERIMENT = Experiment(build, AutoencoderConfig, family="likelihood", minutes=2, tiny=TINY, paper=PAPER)

if __name__ == "__main__":
    main(EXPERIMENT)
