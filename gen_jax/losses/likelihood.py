"""Log-likelihoods of a decoder with independent dimensions, in nats, one value per example."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.losses.reduce import sum_per_example


def bernoulli_log_prob(logits: Float[Array, "batch *shape"], x: Float[Array, "batch *shape"]) -> Float[Array, "batch"]:
    """Log-probability of pixels that are on with probability sigmoid(logits).

        log p(x) = sum_i x_i log sigmoid(l_i) + (1 - x_i) log sigmoid(-l_i)

    Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114, appendix C.1 (eq. 11).

    Args:
      logits: log odds, any real number.
      x: data in [0, 1]. Only 0 and 1 make it a log-probability; grey values make it a negative cross-entropy.

    Returns:
      (batch,) nats, never positive.
    """
    # log sigmoid(l) = -softplus(-l) does not overflow, and two terms of one sign cannot cancel.
    return -sum_per_example(x * jax.nn.softplus(-logits) + (1 - x) * jax.nn.softplus(logits))


def gaussian_log_prob(
    mean: Float[Array, "batch *shape"], log_std: Float[Array, "..."], x: Float[Array, "batch *shape"]
) -> Float[Array, "batch"]:
    """Log-density of a Gaussian with a diagonal covariance.

        log p(x) = sum_i -(x_i - m_i)^2 / (2 s_i^2) - log s_i - log(2 pi) / 2

    Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114, appendix C.2 (eq. 12).

    Args:
      mean: same shape as x.
      log_std: log of the standard deviation; the rank of x, with 1 on any axis along which it is shared.
      x: data.

    Returns:
      (batch,) nats.

    Raises:
      ValueError: log_std has another rank than x.
    """
    standardised = (x - mean) * jnp.exp(-_expand(log_std, x))
    return sum_per_example(-0.5 * standardised**2 - _expand(log_std, x) - 0.5 * math.log(2 * math.pi))


def discretized_logistic_log_prob(
    mean: Float[Array, "batch *shape"], log_scale: Float[Array, "..."], x: Float[Array, "batch *shape"]
) -> Float[Array, "batch"]:
    """Log-probability of 8-bit pixels: a logistic density integrated over each pixel's bin.

        P(x) = sum of log[sigmoid((x + 1/255 - m) / s) - sigmoid((x - 1/255 - m) / s)]

    The bins of the lowest and of the highest level reach to minus and plus infinity, so the 256 levels sum to one.
    Kingma et al., Inverse Autoregressive Flow, arXiv 1606.04934, appendix; Salimans et al., PixelCNN++, arXiv
    1701.05517, eq. 2 with one component.

    Args:
      mean: centre of the logistic, on the scale of x.
      log_scale: log s; the rank of x, with 1 on any axis along which it is shared. Finite for |log_scale| <= 40.
      x: data on the 256 levels level / 127.5 - 1, from -1 to 1.

    Returns:
      (batch,) nats, never positive.

    Raises:
      ValueError: log_scale has another rank than x.
    """
    half_bin = 1 / 255
    inverse_scale = jnp.exp(-_expand(log_scale, x))
    upper = (x + half_bin - mean) * inverse_scale
    lower = (x - half_bin - mean) * inverse_scale
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)): no difference of two nearly equal numbers, so
    # it needs neither a floor nor an approximation far out in the tails.
    log_width = jnp.log(-jnp.expm1(-2 * half_bin * inverse_scale))
    log_below_upper = jax.nn.log_sigmoid(upper)
    log_above_lower = jax.nn.log_sigmoid(-lower)
    interior = log_below_upper + log_above_lower + log_width
    is_lowest = x < -1 + half_bin
    is_highest = x > 1 - half_bin
    return sum_per_example(jnp.where(is_lowest, log_below_upper, jnp.where(is_highest, log_above_lower, interior)))


def _expand(parameter: Float[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Broadcast a shared parameter to x, refusing a rank that numpy would have aligned on its own."""
    if parameter.ndim != x.ndim:
        raise ValueError(f"a shared parameter needs the rank of x: got {parameter.shape} for x of {x.shape}")
    return jnp.broadcast_to(parameter, x.shape)
