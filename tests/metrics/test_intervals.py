import math

import numpy as np
import pytest

from gen_jax.metrics.intervals import bootstrap_interval, paired_difference, t_interval, with_interval


def test_t_interval_of_a_worked_example():
    # Mean 5, standard deviation 2, n = 4: 5 ± 3.182446 * 2 / 2, with t(0.975, 3 degrees) = 3.182446 of any table.
    values = [5 + 2 * math.sqrt(1.5) * sign for sign in (-1, 1)] + [5.0, 5.0]
    found = t_interval(values)
    np.testing.assert_allclose(found, (5, 5 - 3.182446, 5 + 3.182446, 4), rtol=1e-6)


def test_t_interval_of_two_values_has_the_quantile_of_one_degree_of_freedom():
    # With one degree of freedom t is Cauchy, whose quantile is tan(pi (p - 1/2)).
    found = t_interval([1.0, 3.0])
    half = math.tan(math.pi * 0.475) * math.sqrt(2) / math.sqrt(2)
    np.testing.assert_allclose(found, (2, 2 - half, 2 + half, 2))


def test_t_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [low <= 3 <= high for _, low, high, _ in (t_interval(list(rng.normal(3, 2, 4))) for _ in range(3000))]
    # The standard error of the share is 0.004.
    assert 0.938 < np.mean(hits) < 0.962


def test_bootstrap_of_a_constant_is_a_point():
    assert bootstrap_interval([2.5, 2.5, 2.5]) == (2.5, 2.5, 2.5, 3)


def test_bootstrap_is_that_of_all_resamples_of_few_values():
    # All 27 samples of {0, 3, 9} with replacement; the mean is at most 1 in 4 of them, and 0 in one: 3.7% > 2.5%.
    assert bootstrap_interval([0.0, 3.0, 9.0]) == (4.0, 0.0, 9.0, 3)


def test_bootstrap_of_many_values_approaches_the_normal_interval():
    values = list(np.random.default_rng(1).normal(size=400))
    found, half = bootstrap_interval(values), 1.959964 * np.std(values) / 20
    np.testing.assert_allclose([found.low, found.high], [found.value - half, found.value + half], atol=0.06 * half)


def test_bootstrap_of_another_statistic_and_seed():
    values = [1.0, 2.0, 3.0, 4.0, 100.0]
    median = bootstrap_interval(values, np.median)
    assert median.value == 3
    assert {median.low, median.high} <= set(values)
    spread = [1.0, 2.5, 3.7, 4.1, 9.3, 11.2, 15.8]
    assert bootstrap_interval(spread, seed=1, resamples=99) == bootstrap_interval(spread, seed=1, resamples=99)
    assert bootstrap_interval(spread, seed=1, resamples=99) != bootstrap_interval(spread, seed=2, resamples=99)


def test_paired_difference_is_over_shared_seeds_alone():
    first = {0: 10.0, 1: 20.0, 2: 31.0, 7: 1000.0}
    second = {1: 18.0, 2: 28.0, 0: 9.0, 8: -1000.0}
    found = paired_difference(first, second)
    # Differences 1, 2, 3: mean 2, standard deviation 1, t(0.975, 2 degrees) = 4.302653.
    np.testing.assert_allclose(found, (2, 2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3), 3), rtol=1e-6)
    assert paired_difference(first, second, bootstrap_interval) == (2.0, 1.0, 3.0, 3)


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_one_value_has_no_interval(interval):
    with pytest.raises(ValueError, match="at least 2"):
        interval([1.0])
    with pytest.raises(ValueError, match="at least 2"):
        paired_difference({0: 1.0, 1: 2.0}, {1: 1.0, 2: 2.0}, interval)


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (-94.4973, (-94.6173, -94.3773), "-94.50 ± 0.12"),
        (12.34, (11.2, 14.1), "12.3 [11.2, 14.1]"),
        (1234.5, (1111.1, 1357.9), "1230 ± 120"),
        (8.8517, (8.7517, 8.9517), "8.85 ± 0.10"),
        (0.5, (0.5, 0.5), "0.5000 ± 0"),
        (-94.4973, None, "-94.50"),
        (8.0, None, "8"),
        (1.0, (math.nan, 2.0), "1"),
        (math.nan, None, "not finite"),
        (2.5e7, (2.4e7, 2.6e7), "2.500e+07 ± 1.000e+06"),
    ],
)
def test_numbers_have_as_many_digits_as_their_uncertainty_leaves(value, interval, text):
    assert with_interval(value, interval) == text
