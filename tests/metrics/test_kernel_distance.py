import inspect
import itertools
import math

import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.metrics.kernel_distance import kernel_distance, squared_mmd


def features(n: int, seed: int, d: int = 4, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, d)) + shift).astype(np.float32)


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return (float(np.dot(x.astype(np.float64), y.astype(np.float64))) / len(x) + 1) ** 3


def by_double_loop(a: np.ndarray, b: np.ndarray) -> float:
    within_a = np.mean([kernel(x, y) for x, y in itertools.permutations(a, 2)])
    within_b = np.mean([kernel(x, y) for x, y in itertools.permutations(b, 2)])
    return float(within_a + within_b - 2 * np.mean([kernel(x, y) for x in a for y in b]))


@pytest.mark.parametrize("sizes", [(12, 12), (5, 9), (2, 2)])
def test_agrees_with_loops_over_all_pairs(sizes):
    a, b = features(sizes[0], 0), features(sizes[1], 1, shift=0.5)
    assert squared_mmd(a, b) == pytest.approx(by_double_loop(a, b), rel=1e-10)


def test_subsets_that_hold_everything_give_the_value_of_everything():
    a, b = features(10, 0), features(10, 1)
    found = kernel_distance(a, b, subsets=3, subset_size=10)
    assert found.value == pytest.approx(by_double_loop(a, b), rel=1e-10)
    assert found.deviation == pytest.approx(0, abs=1e-12)
    assert math.isnan(found.standard_error)
    assert all(math.isnan(end) for end in found.interval)


def test_is_unbiased_over_all_splits_of_one_set():
    # Over all ways to halve a set, every pair is as often within a half as across: the mean is 0, and not about 0.
    x = features(8, 0)
    halves = [list(half) for half in itertools.combinations(range(8), 4)]
    values = [squared_mmd(x[half], np.delete(x, half, axis=0)) for half in halves]
    assert np.std(values) > 0.1
    assert np.mean(values) == pytest.approx(0, abs=1e-12)


def test_mean_over_random_splits_of_one_set_is_zero_within_its_error():
    x, generator = features(400, 0), np.random.default_rng(1)
    values = []
    for seed in range(60):
        first, second = np.split(generator.permutation(x), 2)
        values.append(kernel_distance(first, second, subsets=4, subset_size=50, seed=seed).value)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(60)
    assert np.std(values) < 0.1


def test_two_gaussians_are_as_far_apart_as_their_moments_say():
    # On the line: E (xy + 1)^3 = 1 + 3 E[x]E[y] + 3 E[x^2]E[y^2] + E[x^3]E[y^3]; N(0, 1) and N(1, 1).
    first, second = np.array([0, 1, 0]), np.array([1, 2, 4])
    expected = np.array([3, 3, 1]) @ (first - second) ** 2
    a, b = features(10_000, 0, d=1), features(10_000, 1, d=1, shift=1.0)
    found = kernel_distance(a, b, subsets=40, subset_size=200)
    assert abs(found.value - expected) < 4 * found.standard_error
    assert 0 < found.standard_error < 0.1 * expected
    low, high = found.interval
    assert (high + low) / 2 == pytest.approx(found.value)
    assert high - low == pytest.approx(2 * 1.96 * found.standard_error)


def test_standard_error_is_that_of_distances_of_other_samples():
    found = [
        kernel_distance(features(200, seed), features(200, 1000 + seed, shift=0.5), subsets=40, subset_size=40)
        for seed in range(150)
    ]
    varies = np.std([distance.value for distance in found])
    promised = np.sqrt(np.mean([distance.standard_error**2 for distance in found]))
    assert 0.8 < promised / varies < 1.4
    # What is published in its place is a subset's.
    assert found[0].deviation > 1.5 * varies


def test_the_seed_decides_the_subsets():
    a, b = features(100, 0), features(80, 1)
    once, again, other = (kernel_distance(a, b, subsets=5, subset_size=20, seed=seed) for seed in (3, 3, 4))
    assert once == again
    assert once.value != other.value
    assert (once.subsets, once.subset_size) == (5, 20)


def test_subsets_are_of_the_published_number_and_size():
    defaults = inspect.signature(kernel_distance).parameters
    assert (defaults["subsets"].default, defaults["subset_size"].default) == (100, 1000)


def test_too_few_samples_are_refused():
    with pytest.raises(ConfigError, match="there are 99 samples; subsets of 100"):
        kernel_distance(features(99, 0), features(200, 1), subset_size=100)
    with pytest.raises(ConfigError, match="subset_size is 1; accepted"):
        kernel_distance(features(9, 0), features(9, 1), subset_size=1)
    with pytest.raises(ConfigError, match="subsets is 0"):
        kernel_distance(features(9, 0), features(9, 1), subsets=0, subset_size=5)
    with pytest.raises(ConfigError, match="cannot be compared"):
        kernel_distance(features(9, 0), features(9, 1, d=5), subset_size=5)
