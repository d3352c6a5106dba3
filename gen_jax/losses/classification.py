"""The loss of a classifier, in nats, one value per example."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cross_entropy(logits: Float[Array, "batch classes"], label: Int[Array, "batch"]) -> Float[Array, "batch"]:
    """The negative log-probability of the true class under softmax(logits).

    Args:
      logits: unnormalised log-probabilities.
      label: of the true class, 0 to classes - 1.

    Returns:
      (batch,) nats, never negative.
    """
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=-1)[:, 0]
