"""A multilayer perceptron from any shape to any shape."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.models.mixed_precision import Dense


class MLP(nn.Module):
    """Flattens its input, applies the hidden layers and reshapes the linear output.

    Attributes:
      features: width of each hidden layer; () for a linear map.
      shape: shape of one output; () for one number per example.
      activation: applied after each hidden layer.
      dtype: dtype of the computation; parameters and output are float32.
    """

    features: tuple[int, ...]
    shape: tuple[int, ...] = ()
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        """Map x (batch, ...) to (batch, *shape)."""
        x = x.reshape(x.shape[0], -1)
        for width in self.features:
            x = self.activation(Dense(width, dtype=self.dtype)(x))
        x = Dense(math.prod(self.shape), dtype=self.dtype)(x)
        return x.reshape(-1, *self.shape).astype(jnp.float32)
