"""Fully connected encoder and decoder.

Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114, appendix C; one hidden layer of 500 units for MNIST
in their experiments (with tanh, here ReLU unless another activation is given).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.models.conditioned import beside
from gen_jax.models.mlp import MLP


class MLPEncoder(nn.Module):
    """Data of any shape to the mean and log-variance of a diagonal Gaussian.

    Attributes:
      latent: dimensions of the latent space.
      features: width of each hidden layer.
      activation: applied after each hidden layer.
      dtype: dtype of the computation; parameters and outputs are float32.
    """

    latent: int
    features: tuple[int, ...] = (500,)
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], y: Float[Array, "batch conditions"] | None = None
    ) -> tuple[Float[Array, "batch {self.latent}"], Float[Array, "batch {self.latent}"]]:
        """Map x (batch, ...), and a condition, to (mean, log_var), each (batch, latent)."""
        x = beside(x.reshape(len(x), -1), y)
        both = MLP(self.features, (2, self.latent), self.activation, self.dtype)(x)
        return both[:, 0], both[:, 1]


class MLPDecoder(nn.Module):
    """A latent vector to data.

    Attributes:
      shape: shape of one example.
      features: width of each hidden layer.
      activation: applied after each hidden layer.
      dtype: dtype of the computation; parameters and output are float32.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (500,)
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], y: Float[Array, "batch conditions"] | None = None
    ) -> Float[Array, "batch ..."]:
        """Map z (batch, latent), and a condition, to logits or means (batch, *shape)."""
        return MLP(self.features, self.shape, self.activation, self.dtype)(beside(z, y))
