"""DCGAN (Radford et al., 2015, arXiv 1511.06434).

    python -m experiments.dcgan
    python -m experiments.dcgan --data fashion_mnist --data-dir DIR --image-size 32
    python -m experiments.dcgan --preset paper --data celeb_a --data-dir DIR

Expect from the defaults a grid of digits within a minute on two CPU cores, half of them clean: at 8x8 the
discriminator is a single convolution deep. On CIFAR-10, 50,000 samples against the training set, StudioGAN reports an
FID of 48.3 for its best checkpoint, and mimicry 29.0; the paper reports none.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import optax

from gen_jax import main
from gen_jax.config import Betas, Config, Count
from gen_jax.data import Signed
from gen_jax.data.info import DataInfo
from gen_jax.experiment import Experiment
from gen_jax.losses import non_saturating
from gen_jax.methods import gan
from gen_jax.methods.checks import require_size
from gen_jax.models import DCGANDiscriminator, DCGANGenerator, dcgan
from gen_jax.training.game import Game


@dataclass(frozen=True)
class DCGANConfig(Config):
    """Options of the DCGAN."""

    latent: Count = 100
    """Dimensions of z."""
    width: Count = 64
    """Channels at half the image's size, in both networks; they double as the size halves."""
    flip: bool = False
    """Mirror half of the images."""
    betas: Betas = (0.5, 0.999)
    """Adam's decay rates."""


def build(config: DCGANConfig, data: DataInfo) -> Game:
    """The game of a DCGAN on such data."""
    shape = require_size(data, dcgan.supports, dcgan.nearest_size)
    dtype = jnp.dtype(config.precision)
    optimizer = optax.adam(config.learning_rate, *config.betas)
    return gan(
        DCGANGenerator(shape, config.width, dtype),
        DCGANDiscriminator(config.width, dtype),
        non_saturating,
        latent=config.latent,
        generator_optimizer=optimizer,
        discriminator_optimizer=optimizer,
        transform=Signed(config.flip),
    )


EXPERIMENT = Experiment(
    build,
    {
        "default": DCGANConfig(
            steps=5_000, batch_size=64, learning_rate=2e-4, log_every=250, eval_every=1_000, save_every=1_000
        ),
        "tiny": DCGANConfig(
            report=False,
            steps=6,
            batch_size=8,
            width=4,
            latent=4,
            log_every=2,
            eval_every=3,
            save_every=3,
            grid_samples=16,
        ),
        "paper": DCGANConfig(
            data="celeb_a",
            image_size=64,
            steps=100_000,
            learning_rate=2e-4,
            width=128,
            flip=True,
            log_every=500,
            eval_every=5_000,
            save_every=5_000,
        ),
    },
)

if __name__ == "__main__":
    main(EXPERIMENT)
