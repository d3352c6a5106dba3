"""How a network is told a condition: beside a vector, or as constant maps beside an image.

Mirza & Osindero, Conditional Generative Adversarial Nets, arXiv 1411.1784, section 3.2.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def beside(x: Float[Array, "batch ..."], y: Float[Array, "batch conditions"] | None) -> Float[Array, "batch ..."]:
    """An example with a condition beside it; as it is where there is none.

    Args:
      x: vectors (batch, features) or images (batch, height, width, channels).
      y: one row of numbers an example, such as a one-hot label.

    Returns:
      (batch, features + conditions), or (batch, height, width, channels + conditions) with y at every pixel.
    """
    if y is None:
        return x
    y = y.astype(x.dtype).reshape(len(y), *[1] * (x.ndim - 2), -1)
    return jnp.concatenate([x, jnp.broadcast_to(y, (*x.shape[:-1], y.shape[-1]))], axis=-1)
