import math
import statistics

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from gen_jax.metrics.hype import Staircase, hype_time, hype_time_interval, modal_exposure, uniform, wilson


def test_staircase_starts_at_half_a_second_and_goes_by_the_last_answer():
    assert Staircase().exposures([True, True, False, True, False]) == [500, 490, 480, 510, 500]


def test_staircase_stays_between_a_tenth_of_a_second_and_a_whole_one():
    assert min(Staircase().exposures([True] * 150)) == Staircase().exposures([True] * 150)[-1] == 100
    assert Staircase().exposures([False] * 150)[-1] == 1000
    assert Staircase().exposures([False] * 18)[-2:] == [980, 1000]


def test_staircase_rests_where_three_of_four_answers_are_right():
    rng, exposure, right = np.random.default_rng(0), 500, []
    for _ in range(10_000):
        # Guessing below, sure above, 75% at 550 ms.
        right.append(rng.random() < 0.5 + 0.5 / (1 + math.exp(-(exposure - 550) / 60)))
        exposure = Staircase().next(exposure, right[-1])
    assert abs(np.mean(right) - 0.75) < 0.01


@pytest.mark.parametrize("threshold", [130, 300, 305, 500, 720, 930])
def test_who_is_right_from_a_threshold_on_scores_near_it(threshold):
    staircase, shown = Staircase(), [500]
    while len(shown) < 150:
        shown.append(staircase.next(shown[-1], shown[-1] >= threshold))
    assert threshold - staircase.down <= hype_time([shown]) <= threshold + staircase.up


def test_who_is_always_right_or_always_wrong_scores_the_end_of_the_range():
    assert hype_time([Staircase().exposures([True] * 150)]) == 100
    assert hype_time([Staircase().exposures([False] * 150)]) == 1000


@pytest.mark.parametrize(("errors", "answers"), [(0, 10), (10, 10), (1, 3), (35, 100), (499, 1000)])
def test_wilson_interval_is_scipys(errors, answers):
    found = binomtest(errors, answers).proportion_ci(method="wilson")
    assert wilson(errors, answers) == pytest.approx((found.low, found.high), abs=1e-6)


def test_mode_is_the_most_frequent_exposure_and_the_mean_of_those_that_tie():
    assert modal_exposure([500, 490, 490, 480]) == 490
    rng = np.random.default_rng(1)
    for _ in range(100):
        exposures = (10 * rng.integers(10, 20, size=12)).tolist()
        assert modal_exposure(exposures) == pytest.approx(statistics.mean(statistics.multimode(exposures)))


def test_score_is_the_mean_over_blocks_whatever_their_length():
    assert hype_time([[500] * 3, [200] * 100]) == 350


def hashed(seed, k):
    """The random number in the arithmetic of whole numbers."""
    bits = (k * 0x9E3779B9 + seed) % 2**32
    bits = (bits ^ bits >> 16) * 0x85EBCA6B % 2**32
    bits = (bits ^ bits >> 13) * 0xC2B2AE35 % 2**32
    return (bits ^ bits >> 16) / 2**32


def test_random_numbers_are_uniform_and_those_of_the_hash():
    assert uniform(3, 50).tolist() == [hashed(3, k) for k in range(1, 51)]
    for seed in range(3):
        assert kstest(uniform(seed, 20_000), "uniform").pvalue > 0.01
    assert abs(np.corrcoef(uniform(0, 20_000), uniform(1, 20_000))[0, 1]) < 0.02


def by_loops(blocks, resamples):
    means = []
    for resample in range(resamples):
        modes = []
        for seed, block in enumerate(blocks):
            length = math.ceil(len(block) ** 0.5)
            runs = math.ceil(len(block) / length)
            chosen = []
            for run in range(runs):
                start = int(hashed(seed, resample * runs + run + 1) * len(block))
                chosen += (block + block)[start : start + length]
            modes.append(statistics.mean(statistics.multimode(chosen[: len(block)])))
        means.append(statistics.mean(modes))
    means.sort()
    return means[resamples // 40], means[-1 - resamples // 40]


def test_interval_is_that_of_a_bootstrap_over_runs_of_answers():
    rng = np.random.default_rng(2)
    blocks = [Staircase().exposures((rng.random(count) < 0.75).tolist()) for count in (150, 40, 7)]
    assert hype_time_interval(blocks, 200) == pytest.approx(by_loops(blocks, 200))


def test_interval_of_exposures_that_never_change_has_no_width_and_more_blocks_narrow_others():
    assert hype_time_interval([[100] * 50], 100) == (100, 100)
    rng = np.random.default_rng(3)
    blocks = [Staircase().exposures((rng.random(150) < 0.75).tolist()) for _ in range(12)]
    (low, high), (lower, higher) = hype_time_interval(blocks, 2000), hype_time_interval(blocks[:1], 2000)
    assert high - low < higher - lower
    assert low <= hype_time(blocks) <= high
