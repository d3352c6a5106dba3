"""Variational autoencoder (Kingma & Welling, 2014, arXiv 1312.6114).

    python -m experiments.vae
    python -m experiments.vae --data mnist --data-dir DIR
    python -m experiments.vae --preset paper --data-dir DIR

Expect from the defaults on MNIST, with dynamic binarisation: a test ELBO of -95 nats or better in 3 minutes on two
CPU cores. For the published network (500 hidden units, 20 latents) the paper shows curves, no table: its bound on
MNIST ends near -100 nats (figure 2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import optax

from gen_jax import main
from gen_jax.config import Count, Steps, Weight, Widths
from gen_jax.data import Binarized, Signed, Transform, Unit
from gen_jax.data.field import Field
from gen_jax.data.info import DataInfo
from gen_jax.experiment import Experiment
from gen_jax.methods import Average, Flip, Optimizer, vae
from gen_jax.methods.checks import require_size
from gen_jax.methods.likelihoods import Likelihood, bernoulli, discretized_logistic, gaussian
from gen_jax.models import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, conv_autoencoder
from gen_jax.training.game import Game

OBSERVED: dict[str, tuple[Likelihood, Callable[[bool], Transform]]] = {
    "bernoulli": (bernoulli, Binarized),
    "gaussian": (gaussian, Unit),
    "discretized_logistic": (discretized_logistic, Signed),
}
ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh}


@dataclass(frozen=True)
class VAEConfig(Optimizer, Average, Flip):
    """Options of the VAE."""

    steps: int = 10_000
    average_decay: float = 0.999
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
    beta_warmup: Steps = 0
    """Steps over which beta grows from 0 (KL annealing, Bowman et al., arXiv 1511.06349)."""
    free_bits: Weight = 0.0
    """Nats of KL that each latent dimension has for nothing in the training loss."""


def build(config: VAEConfig, data: DataInfo, *, conditions: Mapping[str, Field] = {}) -> Game:
    """The game of a VAE on such data. Raises ConfigError for images of a size that its convolutions cannot make."""
    likelihood, images = OBSERVED[config.likelihood if data.is_image else "gaussian"]
    outputs = likelihood.outputs * data.shape[-1]
    if config.network == "conv":
        height, width, _ = require_size(data, conv_autoencoder.supports, conv_autoencoder.nearest_size)
        encoder: nn.Module = ConvEncoder(config.latent, config.width, config.dtype)
        decoder: nn.Module = ConvDecoder((height, width, outputs), config.width, config.dtype)
    else:
        activation = ACTIVATIONS[config.activation]
        encoder = MLPEncoder(config.latent, config.features, activation, config.dtype)
        decoder = MLPDecoder((*data.shape[:-1], outputs), config.features[::-1], activation, config.dtype)
    return vae(
        encoder,
        decoder,
        likelihood,
        latent=config.latent,
        optimizer=config.transformation(),
        transform=config.transform(data, images),
        beta=optax.linear_schedule(0.0, config.beta, config.beta_warmup) if config.beta_warmup else config.beta,
        free_nats=config.free_bits,
        average_decay=config.average_decay,
        conditions=conditions,
    )


PAPER = {"data": "mnist", "steps": 1_000_000, "batch_size": 100, "learning_rate": 0.02, "optimizer": "adagrad"}
PAPER |= {"average_decay": 0.0, "features": (500,), "activation": "tanh", "latent": 20}
TINY = {"steps": 20, "batch_size": 32, "features": (16,), "latent": 4}

EXPERIMENT = Experiment(build, VAEConfig, family="likelihood", minutes=3, tiny=TINY, paper=PAPER)

if __name__ == "__main__":
    main(EXPERIMENT)
