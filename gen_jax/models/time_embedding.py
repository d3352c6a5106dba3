"""How a network is told the time: sinusoids of geometrically spaced frequencies, then a small MLP."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gen_jax.models.mixed_precision import Dense


def sinusoidal_embedding(
    t: Int[Array, "batch"] | Float[Array, "batch"], dim: int, max_period: float = 10_000.0
) -> Float[Array, "batch {dim}"]:
    """Sines, then cosines, of t at dim / 2 frequencies from 1 down to 1 / max_period radians per unit of t.

    Vaswani et al., Attention Is All You Need, arXiv 1706.03762, section 3.5, in the arrangement of Ho et al., Denoising
    Diffusion Probabilistic Models, arXiv 2006.11239, whose frequencies include 1 / max_period.

    Args:
      t: times, in steps: 0 to T - 1. A time in [0, 1] is to be scaled up by the caller.
      dim: size of the embedding.
      max_period: inverse of the lowest frequency.

    Raises:
      ValueError: dim is odd or less than 4.
    """
    if dim % 2 or dim < 4:
        raise ValueError(f"an embedding needs an even dimension of at least 4, got {dim}")
    half = dim // 2
    frequencies = jnp.exp(jnp.linspace(0.0, -math.log(max_period), half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class TimeEmbedding(nn.Module):
    """The embedding that a U-Net's blocks share: sinusoids, linear, swish, linear (arXiv 2006.11239, appendix B).

    Attributes:
      channels: size of the sinusoidal embedding; the output has four times as many.
      dtype: dtype of the computation; parameters are float32.
    """

    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, t: Int[Array, "batch"] | Float[Array, "batch"]) -> Float[Array, "batch 4*{self.channels}"]:
        """Map t (batch,) to (batch, 4 channels)."""
        kernel_init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
        embedding = sinusoidal_embedding(t, self.channels)
        embedding = Dense(4 * self.channels, kernel_init=kernel_init, dtype=self.dtype)(embedding)
        return Dense(4 * self.channels, kernel_init=kernel_init, dtype=self.dtype)(nn.swish(embedding))
