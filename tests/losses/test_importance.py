import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gen_jax.losses import WeightSum, importance_bound

LOG_WEIGHTS = np.random.default_rng(0).normal(0, 3, (12, 5))


def log_mean(log_weights):
    return special.logsumexp(log_weights, axis=0) - np.log(len(log_weights))


@pytest.mark.parametrize("shift", [0.0, 80.0, -1e4])
def test_bound_is_the_logarithm_of_the_mean_weight_however_small_the_weights_are(shift):
    log_weights = (LOG_WEIGHTS + shift).astype(np.float32)
    found = importance_bound(jnp.asarray(log_weights))
    np.testing.assert_allclose(found, log_mean(log_weights.astype(np.float64)), rtol=2e-7, atol=1e-5)


def test_bound_of_one_draw_is_its_logarithm():
    np.testing.assert_array_equal(importance_bound(jnp.float32(LOG_WEIGHTS[:1])), np.float32(LOG_WEIGHTS[0]))


def test_mean_of_the_bound_grows_with_the_draws_and_stays_below_the_logarithm_of_the_mean():
    # Weights 1, 2 and 6 with equal chances: all tuples of k draws are enumerated.
    weights = np.log([1.0, 2.0, 6.0])
    means = []
    for k in (1, 2, 3, 4):
        tuples = np.array(list(itertools.product(weights, repeat=k))).T
        means.append(float(np.mean(importance_bound(jnp.asarray(tuples, jnp.float32)))))
    assert means == sorted(set(means))
    np.testing.assert_allclose(means[0], weights.mean(), rtol=1e-5)
    assert means[-1] < np.log(3.0)


@pytest.mark.parametrize("sizes", [(12,), (1, 11), (4, 4, 4), (1,) * 12])
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["forwards", "backwards"])
def test_draws_may_come_in_parts_and_in_any_order(sizes, order):
    total = WeightSum.empty(5)
    for part in np.split(LOG_WEIGHTS[order], np.cumsum(sizes)[:-1]):
        total = jax.jit(WeightSum.add)(total, jnp.asarray(part, jnp.float32))
    np.testing.assert_allclose(total.log_mean(12), log_mean(LOG_WEIGHTS), rtol=1e-5)


def test_thousands_of_parts_lose_no_digits_of_small_probabilities():
    # As many parts as k = 5,000 one by one, of images whose log-probability float32 knows to 5e-4 nats.
    log_weights = (np.random.default_rng(1).normal(0, 1, (5_000, 1, 2)) - 7e3).astype(np.float32)
    total, _ = jax.lax.scan(lambda total, part: (total.add(part), None), WeightSum.empty(2), jnp.asarray(log_weights))
    exact = special.logsumexp(log_weights.astype(np.float64), axis=(0, 1))
    np.testing.assert_allclose(total.log_mean(1), exact, atol=1e-3)


def test_weights_of_zero_count_as_draws_and_nothing_else():
    zero = jnp.full((3, 2), -jnp.inf)
    nothing = WeightSum.empty(2).add(zero)
    np.testing.assert_array_equal(nothing.log_mean(3), [-np.inf, -np.inf])
    some = nothing.add(jnp.array([[1.0, -jnp.inf]])).add(zero)
    np.testing.assert_allclose(some.log_mean(7), [1.0 - np.log(7), -np.inf], rtol=1e-6)


def test_a_weight_that_is_no_number_shows():
    total = WeightSum.empty(2).add(jnp.array([[jnp.nan, 0.0]])).add(jnp.array([[1.0, 0.0]]))
    np.testing.assert_allclose(total.log_mean(2), [np.nan, 0.0], atol=1e-6)
