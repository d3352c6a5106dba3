"""Generative adversarial network (Goodfellow et al., 2014, arXiv 1406.2661).

    python -m experiments.gan
    python -m experiments.gan --data mnist --data-dir DIR
    python -m experiments.gan --preset paper --data-dir DIR

Expect from the defaults, on a ring of eight Gaussians, 7 or 8 modes and 64 to 90% high-quality samples over five
seeds: a mode is often lost. VEEGAN (arXiv 1705.07761) reports 1 mode and 99.3%, PacGAN (arXiv 1712.04086) 6.3 modes
and 98.2% for its re-run. The published network on MNIST has a Parzen window estimate of 225 nats in the paper, which
nobody compares by any more.
"""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn

from gen_jax import main
from gen_jax.config import Betas, Count, Widths
from gen_jax.data.info import DataInfo
from gen_jax.experiment import Experiment
from gen_jax.losses import AdversarialLoss, minimax, non_saturating
from gen_jax.methods import Average, Flip, Optimizer, gan, normal_prior, uniform_prior
from gen_jax.models import MLP, MaxoutDiscriminator, MLPGenerator
from gen_jax.training.game import Game

LOSSES = {"minimax": minimax, "non_saturating": non_saturating}
PRIORS = {"normal": normal_prior, "uniform": uniform_prior}
DISCRIMINATORS: dict[str, type[nn.Module]] = {"mlp": MLP, "maxout": MaxoutDiscriminator}


@dataclass(frozen=True)
class GANConfig(Optimizer, Average, Flip):
    """Options of the GAN."""

    data: str = "ring8"
    steps: int = 10_000
    batch_size: int = 256
    betas: Betas = (0.5, 0.999)
    loss: Literal["minimax", "non_saturating"] = "non_saturating"
    """What the generator minimises: log(1 - D(G(z))), or -log D(G(z)) as the paper advises."""
    latent: Count = 100
    """Dimensions of z."""
    prior: Literal["normal", "uniform"] = "normal"
    """Distribution of z: N(0, I), or uniform on [-1, 1]."""
    features: Widths = (128, 128)
    """Hidden units of each layer of the generator."""
    discriminator: Literal["mlp", "maxout"] = "mlp"
    """ReLU layers, or the paper's maxout layers with dropout."""
    discriminator_features: Widths = (128, 128)
    """Hidden units of each layer of the discriminator."""
    discriminator_steps: Count = 1
    """Steps of the discriminator for one of the generator."""


def build(config: GANConfig, data: DataInfo, *, loss: AdversarialLoss | None = None) -> Game:
    """The game of a GAN of multilayer perceptrons on such data, with another loss than the configuration's if given."""
    output = nn.tanh if data.is_image else lambda x: x
    return gan(
        MLPGenerator(data.shape, config.features, output, dtype=config.dtype),
        DISCRIMINATORS[config.discriminator](config.discriminator_features, dtype=config.dtype),
        loss or LOSSES[config.loss],
        latent=config.latent,
        generator_optimizer=config.transformation(),
        discriminator_optimizer=config.transformation(moves=config.discriminator_steps),
        transform=config.transform(data),
        prior=PRIORS[config.prior],
        discriminator_steps=config.discriminator_steps,
        average_decay=config.average_decay,
    )


PAPER = {"data": "mnist", "steps": 600_000, "batch_size": 100, "learning_rate": 2e-4, "prior": "uniform"}
PAPER |= {"features": (1200, 1200), "discriminator": "maxout", "discriminator_features": (240, 240)}
TINY = {"steps": 20, "batch_size": 32, "latent": 4, "features": (16,), "discriminator_features": (16,)}

EXPERIMENT = Experiment(build, GANConfig, family="adversarial", minutes=3, tiny=TINY, paper=PAPER)

if __name__ == "__main__":
    main(EXPERIMENT)
