"""Group normalisation with the activation that follows it. Wu & He, arXiv 1803.08494, section 3."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.kernels.group_norm import Activation, identity, normalised


class GroupNorm(nn.Module):
    """Group normalisation and an activation; parameters as `flax.linen.GroupNorm`.

    Attributes:
      groups: into which channels are divided, a divisor of their number.
      activation: an elementwise function.
      dtype: dtype of the input and the output; parameters are float32, and on a CPU all that is between them.
    """

    groups: int
    activation: Activation = identity
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        """Keep the shape.

        Raises:
          ValueError: channels that cannot be divided into so many groups.
        """
        channels = x.shape[-1]
        if channels % self.groups:
            raise ValueError(f"{channels} channels cannot be divided into {self.groups} groups")
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        scale, bias = (parameter.reshape(1, 1, 1, channels) for parameter in (scale, bias))
        return normalised(x.astype(self.dtype), scale, bias, self.groups, self.activation)
