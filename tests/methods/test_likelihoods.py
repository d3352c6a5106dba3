import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gen_jax.methods.likelihoods import bernoulli, discretized_logistic, gaussian, location_and_scale

RNG = np.random.default_rng(0)


def decoded(shape, likelihood):
    return jnp.asarray(RNG.normal(size=(*shape[:-1], likelihood.outputs * shape[-1])), jnp.float32)


@pytest.mark.parametrize("shape", [(4, 2), (3, 2, 2, 3)])
@pytest.mark.parametrize("likelihood", [bernoulli, gaussian, discretized_logistic])
def test_one_log_probability_an_example_and_a_mean_like_the_data(likelihood, shape):
    x = jnp.ones(shape)
    assert likelihood.log_prob(decoded(shape, likelihood), x).shape == shape[:1]
    assert likelihood.mean(decoded(shape, likelihood)).shape == shape


def test_bernoulli_reads_logits():
    logits = decoded((5, 3), bernoulli)
    x = jnp.asarray(RNG.integers(0, 2, (5, 3)), jnp.float32)
    p = special.expit(np.asarray(logits, np.float64))
    np.testing.assert_allclose(bernoulli.mean(logits), p, rtol=1e-5)
    np.testing.assert_allclose(
        bernoulli.log_prob(logits, x), stats.bernoulli.logpmf(np.asarray(x), p).sum(axis=1), rtol=1e-5
    )


def test_gaussian_reads_means_and_log_deviations_side_by_side():
    both, x = decoded((5, 3), gaussian), jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)
    location, raw = np.split(np.asarray(both, np.float64), 2, axis=1)
    deviation = np.exp(7 * np.tanh(raw / 7))
    np.testing.assert_array_equal(gaussian.mean(both), both[:, :3])
    np.testing.assert_allclose(
        gaussian.log_prob(both, x), stats.norm.logpdf(np.asarray(x), location, deviation).sum(axis=1), rtol=1e-4
    )


def test_discretized_logistic_gives_the_256_levels_a_total_probability_of_one():
    levels = jnp.arange(256, dtype=jnp.float32)[:, None] / 127.5 - 1
    both = jnp.broadcast_to(jnp.array([[0.3, -2.0]]), (256, 2))
    np.testing.assert_allclose(np.exp(discretized_logistic.log_prob(both, levels)).sum(), 1, rtol=1e-4)
    likeliest = float(levels[np.argmax(discretized_logistic.log_prob(both, levels)), 0])
    np.testing.assert_allclose(likeliest, discretized_logistic.mean(both)[0, 0], atol=1 / 255)


@pytest.mark.parametrize(("raw", "expected"), [(0.0, 0.0), (0.5, 0.5), (100.0, 7.0), (-100.0, -7.0)])
def test_log_scales_are_left_alone_near_zero_and_kept_within_seven(raw, expected):
    location, log_scale = location_and_scale(jnp.array([[2.0, raw]]))
    np.testing.assert_allclose(location, [[2.0]])
    np.testing.assert_allclose(log_scale, [[expected]], atol=1e-3)


def test_impossible_log_scales_leave_the_log_probability_finite():
    x = jnp.array([[1.0], [1.0]])
    both = jnp.array([[1.0, 1e6], [-1.0, -1e6]])
    for likelihood in (gaussian, discretized_logistic):
        assert np.isfinite(likelihood.log_prob(both, x)).all()
