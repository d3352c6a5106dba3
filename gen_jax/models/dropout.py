"""Dropout that keeps a byte for each activation until the backward pass.

Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 15 (2014), section 4. The
gradient needs to know what was kept. Where the comparison of random bits with a threshold is fused into what uses it,
and on a CPU it is, the bits are kept for it: four bytes.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gen_jax.kernels.called import as_a_call


class Dropout(nn.Module):
    """Sets a share of the activations to zero, and scales the others so that the mean stays; as `flax.linen.Dropout`.

    Attributes:
      rate: the share, from 0 to 1.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
        """Keep the shape. With train and a rate other than 0 it needs a "dropout" key; else it changes nothing."""
        if not train or self.rate == 0:
            return x
        if self.rate == 1:
            return jnp.zeros_like(x)
        kept = _bernoulli(self.make_rng("dropout"), 1.0 - self.rate, x.shape)
        return jnp.where(kept, x / (1.0 - self.rate), jnp.zeros_like(x))


def _bernoulli(key: jax.Array, probability: float, shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """`jax.random.bernoulli`, on a CPU as a call of which nothing is fused into what uses it."""

    def plain(key: jax.Array) -> jax.Array:
        return jax.random.bernoulli(key, probability, shape)

    def called(key: jax.Array) -> jax.Array:
        with as_a_call():
            return jax.jit(plain)(key)

    return jax.lax.platform_dependent(key, cpu=called, default=plain)
