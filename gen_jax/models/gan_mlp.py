"""The fully connected pair of the first GAN.

Goodfellow et al., Generative Adversarial Networks, arXiv 1406.2661, section 5, with the sizes of the authors' released
MNIST configuration: a generator of two layers of 1200 ReLU and a sigmoid output, from 100 latents; a discriminator of
two layers of 240 maxout units of 5 pieces, with dropout of 0.2 on its input and of 0.5 before every other layer. There
the weights start uniform in +-0.05 (generator) and +-0.005 (discriminator), ranges that suit those sizes alone; here
the initializer is a field with a default that scales with the number of inputs.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jaxtyping import Array, Float

from gen_jax.models.dropout import Dropout
from gen_jax.models.mixed_precision import Dense


class MLPGenerator(nn.Module):
    """Latents to data through ReLU layers.

    Attributes:
      shape: shape of one example.
      features: width of each hidden layer.
      output: applied to the last layer: `nn.tanh` for data in [-1, 1], `nn.sigmoid` for [0, 1] as published, the
        identity for unbounded data.
      kernel_init: initializer of every layer.
      dtype: dtype of the computation; parameters and output are float32.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (1200, 1200)
    output: Callable[[jax.Array], jax.Array] = nn.tanh
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "batch latent"]) -> Float[Array, "batch ..."]:
        """Map z (batch, latent) to (batch, *shape)."""
        x = z
        for width in self.features:
            x = nn.relu(Dense(width, kernel_init=self.kernel_init, dtype=self.dtype)(x))
        x = Dense(math.prod(self.shape), kernel_init=self.kernel_init, dtype=self.dtype)(x)
        return self.output(x.reshape(-1, *self.shape).astype(jnp.float32))


class MaxoutDiscriminator(nn.Module):
    """Data to one logit through maxout layers (Goodfellow et al., Maxout Networks, arXiv 1302.4389, eq. 1).

    Attributes:
      features: maxout units of each hidden layer.
      pieces: linear pieces of which a unit takes the largest.
      dropout: share of the units dropped before every layer but the first.
      input_dropout: share of the inputs dropped.
      kernel_init: initializer of every layer.
      dtype: dtype of the computation; parameters and output are float32.
    """

    features: tuple[int, ...] = (240, 240)
    pieces: int = 5
    dropout: float = 0.5
    input_dropout: float = 0.2
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."], *, train: bool) -> Float[Array, "batch"]:
        """Map x (batch, ...) to logits (batch,); with train it needs a "dropout" key."""
        x = x.reshape(x.shape[0], -1)
        x = Dropout(self.input_dropout)(x, train=train)
        for units in self.features:
            x = Dense(units * self.pieces, kernel_init=self.kernel_init, dtype=self.dtype)(x)
            x = x.reshape(-1, units, self.pieces).max(axis=-1)
            x = Dropout(self.dropout)(x, train=train)
        return Dense(1, kernel_init=self.kernel_init, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)
