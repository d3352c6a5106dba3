import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.losses import bernoulli_log_prob, discretized_logistic_log_prob, gaussian_log_prob

LEVELS = np.arange(256) / 127.5 - 1
logistic_log_prob = jax.jit(discretized_logistic_log_prob)


def test_bernoulli_agrees_with_scipy_and_sums_over_all_pixels():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=(4, 3, 2)).astype(np.float32)
    x = rng.integers(0, 2, size=(4, 3, 2)).astype(np.float32)
    expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits.astype(np.float64)))).sum((1, 2))
    np.testing.assert_allclose(bernoulli_log_prob(jnp.asarray(logits), jnp.asarray(x)), expected, rtol=1e-5)


def test_bernoulli_of_grey_pixels_is_minus_the_cross_entropy():
    value = bernoulli_log_prob(jnp.array([[0.4]]), jnp.array([[0.3]]))
    p = 1 / (1 + np.exp(-0.4))
    np.testing.assert_allclose(value, [0.3 * np.log(p) + 0.7 * np.log(1 - p)], rtol=1e-6)


def test_bernoulli_probabilities_of_all_binary_images_sum_to_one():
    images = np.array([[int(bit) for bit in f"{i:06b}"] for i in range(64)], np.float32)
    logits = jnp.broadcast_to(jnp.array([-2.0, -0.5, 0.0, 0.3, 1.0, 4.0]), (64, 6))
    np.testing.assert_allclose(jnp.exp(bernoulli_log_prob(logits, jnp.asarray(images))).sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(("logit", "x", "value", "slope"), [(1e4, 0.0, -1e4, -1.0), (1e4, 1.0, 0.0, 0.0)])
def test_bernoulli_is_exact_at_extreme_logits(logit, x, value, slope):
    def log_prob(logits):
        return bernoulli_log_prob(logits, jnp.full((1, 1), x)).sum()

    for sign in (1, -1):  # p(x | l) = p(1 - x | -l)
        mirrored = jnp.full((1, 1), x if sign == 1 else 1 - x)
        logits = jnp.full((1, 1), sign * logit)
        np.testing.assert_allclose(bernoulli_log_prob(logits, mirrored), [value])
    np.testing.assert_allclose(jax.grad(log_prob)(jnp.full((1, 1), logit)), [[slope]])


def test_gaussian_agrees_with_scipy():
    rng = np.random.default_rng(1)
    mean, log_std, x = rng.normal(size=(3, 5, 4, 2)).astype(np.float32)
    expected = stats.norm.logpdf(x, mean, np.exp(log_std)).sum((1, 2))
    np.testing.assert_allclose(gaussian_log_prob(*map(jnp.asarray, (mean, log_std, x))), expected, rtol=1e-4)


def test_gaussian_counts_a_shared_log_std_once_for_each_dimension():
    x = jnp.asarray(np.random.default_rng(2).normal(size=(5, 4, 2)), jnp.float32)
    shared = gaussian_log_prob(jnp.zeros_like(x), jnp.full((1, 1, 1), 0.7), x)
    np.testing.assert_allclose(shared, gaussian_log_prob(jnp.zeros_like(x), jnp.full_like(x, 0.7), x), rtol=1e-6)


@pytest.mark.parametrize("log_prob", [gaussian_log_prob, discretized_logistic_log_prob])
def test_a_shared_scale_of_another_rank_is_refused(log_prob):
    x = jnp.zeros((5, 4))
    with pytest.raises(ValueError, match="rank"):
        log_prob(x, jnp.zeros((4,)), x)


@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.013, 0.9, 2.0])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 3.0])
def test_probabilities_of_the_256_levels_sum_to_one(mean, log_scale):
    x = jnp.asarray(LEVELS, jnp.float32)[:, None]
    log_prob = logistic_log_prob(jnp.full((256, 1), mean), jnp.full((1, 1), log_scale), x)
    np.testing.assert_allclose(jnp.exp(log_prob).sum(), 1, rtol=2e-4)


@pytest.mark.parametrize(("mean", "log_scale"), [(0.2, -2.0), (-0.7, 0.5), (0.0, -4.0)])
def test_each_level_has_the_mass_of_its_bin(mean, log_scale):
    logistic = stats.logistic(loc=mean, scale=np.exp(log_scale))
    edges = np.concatenate([[-np.inf], (LEVELS[1:] + LEVELS[:-1]) / 2, [np.inf]])
    # Above the mean the survival function keeps the digits that the distribution function has lost.
    mass = np.where(mean > LEVELS, np.diff(logistic.cdf(edges)), -np.diff(logistic.sf(edges)))
    x = jnp.asarray(LEVELS, jnp.float32)[:, None]
    log_prob = logistic_log_prob(jnp.full((256, 1), mean), jnp.full((1, 1), log_scale), x)
    np.testing.assert_allclose(log_prob, np.log(mass), rtol=1e-3, atol=1e-3)


def test_logistic_and_its_gradients_are_finite_at_extreme_scales():
    log_scale, x = (jnp.asarray(grid.reshape(-1, 1), jnp.float32) for grid in np.meshgrid([-40, 40], [-1, 1 / 255, 1]))
    value_and_gradients = jax.jit(jax.value_and_grad(lambda *p: discretized_logistic_log_prob(*p).sum(), (0, 1, 2)))
    value, gradients = value_and_gradients(jnp.full_like(x, 0.5), log_scale, x)
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(gradient).all() for gradient in gradients)
