import itertools

import numpy as np
import pytest
from scipy import stats

from gen_jax.errors import ConfigError
from gen_jax.metrics.wasserstein import wasserstein_1


def points(n: int, seed: int, d: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def test_a_translated_set_is_as_far_as_it_was_moved():
    x = points(300, 0).astype(np.float64)
    moved = np.random.default_rng(1).permutation(x + np.array([3.0, -4.0]))
    assert wasserstein_1(x, moved) == pytest.approx(5, rel=1e-12)


def test_the_same_points_in_another_order_are_at_no_distance():
    x = points(200, 0)
    assert wasserstein_1(x, x[::-1]) == 0


def test_on_the_line_agrees_with_scipy():
    a, b = points(150, 0, d=1), 2 * points(150, 1, d=1) + 1
    assert wasserstein_1(a, b) == pytest.approx(stats.wasserstein_distance(a[:, 0], b[:, 0]), rel=1e-5)


def test_no_other_assignment_is_cheaper():
    a, b = points(6, 2), points(6, 3)
    costs = np.linalg.norm(a[:, None] - b[None], axis=-1)
    cheapest = min(costs[np.arange(6), list(order)].mean() for order in itertools.permutations(range(6)))
    assert wasserstein_1(a, b) == pytest.approx(cheapest, rel=1e-6)


def test_the_larger_set_is_thinned_at_random_and_always_alike():
    near, far = np.zeros((50, 2)), np.full((50, 2), 10.0)
    mixed, small = np.concatenate([near, far]), np.zeros((40, 2))
    distance = wasserstein_1(mixed, small)
    # The first 40 alone would be at distance 0. About half of those that were drawn are far.
    share = distance / np.linalg.norm([10.0, 10.0])
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(40)
    assert wasserstein_1(small, mixed) == distance


def test_points_that_are_not_finite_are_at_no_distance_that_is_a_number():
    x = points(5, 0)
    assert np.isnan(wasserstein_1(x, np.where(x > 0, np.inf, x)))
    assert np.isnan(wasserstein_1(np.full((5, 2), np.nan), x))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        wasserstein_1(points(5, 0), points(5, 0)[:0])
    with pytest.raises(ConfigError, match="cannot be compared"):
        wasserstein_1(points(5, 0), points(5, 0, d=3))
