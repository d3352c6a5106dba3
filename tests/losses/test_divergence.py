import jax.numpy as jnp
import numpy as np
from scipy import integrate, stats

from gen_jax.losses import kl_diagonal_gaussians, kl_diagonal_gaussians_per_dim


def kl_by_integration(mean, log_var, prior_mean, prior_log_var):
    q = stats.norm(mean, np.exp(log_var / 2))
    p = stats.norm(prior_mean, np.exp(prior_log_var / 2))
    z = np.linspace(mean - 12 * q.std(), mean + 12 * q.std(), 4001)
    return integrate.simpson(q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), x=z)


def test_each_dimension_agrees_with_brute_force_integration():
    mean, log_var, prior_mean, prior_log_var = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    expected = np.vectorize(kl_by_integration)(mean, log_var, prior_mean, prior_log_var)
    arguments = map(jnp.asarray, (mean, log_var, prior_mean, prior_log_var))
    np.testing.assert_allclose(kl_diagonal_gaussians_per_dim(*arguments), expected, rtol=1e-4)


def test_the_prior_is_standard_normal_where_none_is_given():
    mean, log_var = np.random.default_rng(1).normal(size=(2, 3, 2)).astype(np.float32)
    expected = np.vectorize(kl_by_integration)(mean, log_var, 0.0, 0.0).sum(1)
    np.testing.assert_allclose(kl_diagonal_gaussians(jnp.asarray(mean), jnp.asarray(log_var)), expected, rtol=1e-4)


def test_it_sums_over_every_latent_axis():
    mean = jnp.ones((2, 3, 4))
    np.testing.assert_allclose(kl_diagonal_gaussians(mean, jnp.zeros_like(mean)), [6.0, 6.0])


def test_it_keeps_its_digits_where_the_two_nearly_agree():
    log_var = jnp.full((1, 1), 1e-3)
    np.testing.assert_allclose(kl_diagonal_gaussians(jnp.zeros((1, 1)), log_var), [2.5e-7], rtol=1e-3)
