"""The evidence lower bound and the two ways of weighing its KL term. Larger is better: minimise the negative."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.losses.reduce import sum_per_example


def elbo(log_likelihood: Float[Array, "batch"], kl: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """Evidence lower bound on log p(x), in nats.

        ELBO(x) = E_q(z|x)[log p(x|z)] - KL(q(z|x) || p(z)) <= log p(x)

    Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114, eq. 3. With kl = log q(z|x) - log p(z) at the
    sampled z it is the estimate of their eq. 2.

    Args:
      log_likelihood: log p(x|z), an average over samples of z or a single one.
      kl: KL(q(z|x) || p(z)).

    Returns:
      (batch,) nats.
    """
    return log_likelihood - kl


def beta_elbo(
    log_likelihood: Float[Array, "batch"], kl: Float[Array, "batch"], beta: float | Float[Array, ""]
) -> Float[Array, "batch"]:
    """The ELBO with its KL term weighed by beta; a bound on log p(x) only for beta >= 1.

        E_q(z|x)[log p(x|z)] - beta KL(q(z|x) || p(z))

    Higgins et al., beta-VAE, ICLR 2017 (OpenReview Sy2fzU9gl); Burgess et al., arXiv 1804.03599.

    Args:
      log_likelihood: log p(x|z).
      kl: KL(q(z|x) || p(z)).
      beta: the weight; a scalar array when it is annealed inside a compiled step.

    Returns:
      (batch,) nats.
    """
    return log_likelihood - beta * kl


def free_bits(kl_per_dim: Float[Array, "batch latent"], nats: float) -> Float[Array, "batch"]:
    """A KL term that gives each latent dimension `nats` for nothing, so that it is not pruned early in training.

        sum_j max(nats, mean_b KL_bj)

    Kingma et al., Inverse Autoregressive Flow, arXiv 1606.04934, appendix, with each dimension a group of its own: the
    floor holds for the mean over the batch, not for each example.

    Per example, a dimension whose batch mean is at or below the floor counts as the constant `nats`, any other as its
    own KL. Therefore the mean over the batch is exactly the sum above, and its gradient through a floored dimension is
    zero. One example's value depends on the batch it came in: it serves as a training loss, not as an ELBO to report.

    Args:
      kl_per_dim: KL of each example and dimension, nats.
      nats: the floor of one dimension.

    Returns:
      (batch,) nats.
    """
    is_floored = jnp.mean(kl_per_dim, axis=0, keepdims=True) <= nats
    return sum_per_example(jnp.where(is_floored, nats, kl_per_dim))
