"""Variational autoencoder (Kingma & Welling, 2014, arXiv 1312.6114).

    python -m experiments.vae
    python -m experiments.vae --data mnist --data-dir DIR
    python -m experiments.vae --preset paper --data-dir DIR

Expect from the defaults on MNIST, with dynamic binarisation: a test ELBO of -95 nats or better in 3 minutes on two
CPU cores. For the published network (500 hidden units, 20 latents) the paper shows curves, no table: its bound on
MNIST ends near -100 nats (figure 2).
"""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
import optax

from gen_jax import main
from gen_jax.config import Config, Count, Decay, Weight, Widths
from gen_jax.data import Binarized, Identity, Signed, Transform, Unit
from gen_jax.data.info import DataInfo
from gen_jax.experiment import Experiment
from gen_jax.methods import vae
from gen_jax.methods.checks import require_size
from gen_jax.methods.likelihoods import Likelihood, bernoulli, discretized_logistic, gaussian
from gen_jax.models import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, conv_autoencoder
from gen_jax.training.game import Game

OBSERVED: dict[str, tuple[Likelihood, Transform]] = {
    "bernoulli": (bernoulli, Binarized()),
    "gaussian": (gaussian, Unit()),
    "discretized_logistic": (discretized_logistic, Signed()),
}
OPTIMIZERS = {"adam": optax.adam, "adagrad": optax.adagrad}
ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh}


@dataclass(frozen=True)
class VAEConfig(Config):
    """Options of the VAE."""

    network: Literal["mlp", "conv"] = "mlp"
    """Architecture of encoder and decoder."""
    features: Widths = (512, 512)
    """Hidden units of each layer of an MLP encoder; the decoder has them in reverse."""
    activation: Literal["relu", "tanh"] = "relu"
    """Nonlinearity of an MLP."""
    width: Count = 32
    """Channels of the first layer of a convolutional encoder."""
    latent: Count = 32
    """Dimensions of the latent space."""
    likelihood: Literal["bernoulli", "gaussian", "discretized_logistic"] = "bernoulli"
    """How images are observed: binarised anew each time, as real numbers, or as 256 levels. Points are Gaussian."""
    beta: Weight = 1.0
    """Weight of the KL term in the training loss."""
    free_bits: Weight = 0.0
    """Nats of KL that each latent dimension has for nothing in the training loss."""
    optimizer: Literal["adam", "adagrad"] = "adam"
    """Which optimizer."""
    average_decay: Decay = 0.999
    """Decay of the exponential averages of the weights, which sample and are evaluated; 0 for none."""


def build(config: VAEConfig, data: DataInfo) -> Game:
    """The game of a VAE on such data."""
    likelihood, transform = OBSERVED[config.likelihood] if data.is_image else (gaussian, Identity())
    dtype = jnp.dtype(config.precision)
    encoder: nn.Module
    decoder: nn.Module
    if config.network == "conv":
        height, width, channels = require_size(data, conv_autoencoder.supports, conv_autoencoder.nearest_size)
        encoder = ConvEncoder(config.latent, config.width, dtype)
        decoder = ConvDecoder((height, width, likelihood.outputs * channels), config.width, dtype)
    else:
        activation = ACTIVATIONS[config.activation]
        encoder = MLPEncoder(config.latent, config.features, activation, dtype)
        decoder = MLPDecoder(
            (*data.shape[:-1], likelihood.outputs * data.shape[-1]), config.features[::-1], activation, dtype
        )
    return vae(
        encoder,
        decoder,
        likelihood,
        latent=config.latent,
        optimizer=OPTIMIZERS[config.optimizer](config.learning_rate),
        transform=transform,
        beta=config.beta,
        free_nats=config.free_bits,
        average_decay=config.average_decay,
    )


EXPERIMENT = Experiment(
    build,
    {
        "default": VAEConfig(steps=10_000, log_every=500, eval_every=2_500, save_every=2_500),
        "tiny": VAEConfig(
            report=False, steps=20, batch_size=32, features=(16,), latent=4, log_every=5, eval_every=10, save_every=10
        ),
        "paper": VAEConfig(
            data="mnist",
            steps=1_000_000,
            batch_size=100,
            features=(500,),
            activation="tanh",
            latent=20,
            optimizer="adagrad",
            average_decay=0.0,
            learning_rate=0.02,
            log_every=1_000,
            eval_every=10_000,
            save_every=10_000,
        ),
    },
)

if __name__ == "__main__":
    main(EXPERIMENT)
