"""Kullback-Leibler divergences that have a closed form."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.losses.reduce import sum_per_example


def kl_diagonal_gaussians(
    mean: Float[Array, "batch *latent"],
    log_var: Float[Array, "batch *latent"],
    prior_mean: Float[Array, "batch *latent"] | None = None,
    prior_log_var: Float[Array, "batch *latent"] | None = None,
) -> Float[Array, "batch"]:
    """KL(N(mean, exp log_var) || N(prior_mean, exp prior_log_var)), summed over dimensions.

    Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114, appendix B.

    Args:
      mean: mean of q.
      log_var: log of the variance of q.
      prior_mean: mean of p; 0 where not given.
      prior_log_var: log of the variance of p; 0 where not given.

    Returns:
      (batch,) nats, never negative.
    """
    return sum_per_example(kl_diagonal_gaussians_per_dim(mean, log_var, prior_mean, prior_log_var))


def kl_diagonal_gaussians_per_dim(
    mean: Float[Array, "batch *latent"],
    log_var: Float[Array, "batch *latent"],
    prior_mean: Float[Array, "batch *latent"] | None = None,
    prior_log_var: Float[Array, "batch *latent"] | None = None,
) -> Float[Array, "batch *latent"]:
    """The terms of `kl_diagonal_gaussians`, one for each dimension.

        KL = (v / w - 1 - log(v / w) + (m - n)^2 / w) / 2      with q = N(m, v) and p = N(n, w)

    Returns:
      (batch, *latent) nats, never negative.
    """
    prior_mean = jnp.zeros_like(mean) if prior_mean is None else prior_mean
    prior_log_var = jnp.zeros_like(log_var) if prior_log_var is None else prior_log_var
    log_ratio = log_var - prior_log_var
    # expm1(r) - r keeps its digits where the two variances nearly agree; exp(r) - 1 - r loses them.
    return 0.5 * (jnp.expm1(log_ratio) - log_ratio + (mean - prior_mean) ** 2 * jnp.exp(-prior_log_var))
