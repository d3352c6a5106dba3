import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from gen_jax.losses import beta_elbo, elbo, free_bits, gaussian_log_prob, kl_diagonal_gaussians

NOISE = 0.6  # standard deviation of the linear-Gaussian decoder x = W z + noise
RNG = np.random.default_rng(0)
# Orthogonal columns make the true posterior's covariance diagonal.
W = np.linalg.qr(RNG.normal(size=(5, 2)))[0] * [1.5, 0.7]
X = RNG.normal(size=(4, 5))


def exact_posterior():
    precision = 1 + (W**2).sum(0) / NOISE**2
    mean = X @ W / NOISE**2 / precision
    return jnp.asarray(mean, jnp.float32), jnp.asarray(np.tile(-np.log(precision), (4, 1)), jnp.float32)


def log_evidence():
    return stats.multivariate_normal(np.zeros(5), W @ W.T + NOISE**2 * np.eye(5)).logpdf(X)


def log_likelihood(z):
    return gaussian_log_prob(z @ jnp.asarray(W.T, jnp.float32), jnp.full((1, 1), np.log(NOISE)), jnp.asarray(X))


def test_the_bound_is_tight_at_the_true_posterior():
    mean, log_var = exact_posterior()
    # E_q |x - Wz|^2 exceeds |x - W mean|^2 by the trace of the posterior's covariance seen through W.
    excess = (jnp.exp(log_var) * jnp.asarray((W**2).sum(0), jnp.float32)[None]).sum(1) / (2 * NOISE**2)
    bound = elbo(log_likelihood(mean) - excess, kl_diagonal_gaussians(mean, log_var))
    np.testing.assert_allclose(bound, log_evidence(), rtol=1e-4)


def test_at_the_true_posterior_every_sample_gives_the_evidence():
    mean, log_var = exact_posterior()
    prior = jnp.zeros_like(mean)
    for seed in range(3):
        z = mean + jnp.exp(log_var / 2) * 3 * jax.random.normal(jax.random.key(seed), mean.shape)
        kl_sample = gaussian_log_prob(mean, log_var / 2, z) - gaussian_log_prob(prior, prior, z)
        np.testing.assert_allclose(elbo(log_likelihood(z), kl_sample), log_evidence(), rtol=1e-4)


def test_any_other_posterior_gives_less_by_its_divergence_from_the_true_one():
    mean, log_var = exact_posterior()
    other = mean + 0.3
    excess = (jnp.exp(log_var) * jnp.asarray((W**2).sum(0), jnp.float32)[None]).sum(1) / (2 * NOISE**2)
    bound = elbo(log_likelihood(other) - excess, kl_diagonal_gaussians(other, log_var))
    gap = kl_diagonal_gaussians(other, log_var, mean, log_var)
    np.testing.assert_allclose(bound, log_evidence() - gap, rtol=1e-4)


def test_beta_weighs_the_kl_alone():
    reconstruction, kl = jnp.array([-3.0, -1.0]), jnp.array([2.0, 0.5])
    np.testing.assert_allclose(beta_elbo(reconstruction, kl, 4.0), [-11.0, -3.0])
    np.testing.assert_allclose(beta_elbo(reconstruction, kl, 1.0), elbo(reconstruction, kl))


KL = jnp.array([[0.1, 2.0, 0.6], [0.3, 4.0, 0.2]])  # batch means 0.2, 3.0, 0.4


def test_free_bits_mean_is_the_floored_sum_of_batch_means():
    value = free_bits(KL, 0.25)
    assert value.shape == (2,)
    np.testing.assert_allclose(value.mean(), 0.25 + 3.0 + 0.4, rtol=1e-6)


def test_free_bits_per_example_is_its_own_kl_where_not_floored():
    np.testing.assert_allclose(free_bits(KL, 0.25), [0.25 + 2.0 + 0.6, 0.25 + 4.0 + 0.2], rtol=1e-6)


def test_free_bits_gradient_is_zero_for_floored_dimensions_only():
    gradient = jax.grad(lambda kl: free_bits(kl, 0.25).mean())(KL)
    np.testing.assert_allclose(gradient, [[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]])


def test_no_free_bits_is_the_plain_kl():
    np.testing.assert_allclose(free_bits(KL, 0.0), KL.sum(1))
