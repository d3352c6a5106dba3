"""Observation models p(x | z): how a decoder's output is read as a distribution over the data."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.data import Binarized, Dequantized, Signed, Transform
from gen_jax.losses import bernoulli_log_prob, discretized_logistic_log_prob, gaussian_log_prob
from gen_jax.training.game import Observed


class Likelihood(NamedTuple):
    """An observation model.

    Attributes:
      outputs: how many numbers the decoder gives for each dimension of the data, side by side in the last axis.
      log_prob: (decoded, x) -> log p(x | z), nats (batch,).
      mean: decoded -> E[x | z], with the shape of x.
      observed: how the data are shown -> what x then is; None where `log_prob` is no log-probability of that.
    """

    outputs: int
    log_prob: Callable[[jax.Array, jax.Array], jax.Array]
    mean: Callable[[jax.Array], jax.Array]
    observed: Callable[[Transform], Observed | None]


def location_and_scale(decoded: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Splits the last axis in two: locations, and log-scales kept within [-7, 7]."""
    location, log_scale = jnp.split(decoded, 2, axis=-1)
    return location, 7 * jnp.tanh(log_scale / 7)


bernoulli = Likelihood(
    1,
    bernoulli_log_prob,
    jax.nn.sigmoid,
    # Of grey values it is a cross-entropy, not a log-probability.
    lambda transform: "binary pixels" if isinstance(transform, Binarized) else None,
)
gaussian = Likelihood(
    2,
    lambda decoded, x: gaussian_log_prob(*location_and_scale(decoded), x),
    lambda d: location_and_scale(d)[0],
    lambda transform: "dequantised" if isinstance(transform, Dequantized) else "real numbers",
)
discretized_logistic = Likelihood(
    2,
    lambda decoded, x: discretized_logistic_log_prob(*location_and_scale(decoded), x),
    lambda d: location_and_scale(d)[0],
    # Its bins are those of this scale.
    lambda transform: "256 levels" if isinstance(transform, Signed) else None,
)
