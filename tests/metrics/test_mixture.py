import numpy as np
import pytest
from scipy import stats

from gen_jax.data import load_dataset
from gen_jax.metrics import MixtureCoverage, mixture_coverage, sample_metrics

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


@pytest.mark.parametrize(("name", "modes"), [("ring8", 8), ("grid25", 25)])
def test_every_mode_of_a_benchmark_is_distinct_and_found_in_its_own_data(name, modes):
    dataset = load_dataset(name)
    metric = sample_metrics(dataset)[0]
    distances = np.linalg.norm(metric.centres[:, None] - metric.centres[None], axis=-1)
    assert len(metric.centres) == modes
    assert distances[~np.eye(modes, dtype=bool)].min() > 6 * metric.sigma
    assert metric(metric.centres) == {"modes": modes, "high_quality": 1.0}
    points = dataset.test.arrays["x"]
    found = metric(points)
    # The distance from the mean of a Gaussian of the plane follows a Rayleigh distribution.
    share = stats.rayleigh.cdf(3)
    assert found["modes"] == modes
    assert abs(found["high_quality"] - share) < 5 * np.sqrt(share * (1 - share) / len(points))


def test_modes_without_a_sample_of_high_quality_do_not_count():
    points = np.array([[0.1, 0.0], [0.0, 0.2], [10.0, 0.1], [0.0, 6.0], [50.0, 50.0]], np.float32)
    assert mixture_coverage(points, CENTRES, sigma=0.1) == {"modes": 2.0, "high_quality": 0.6}


@pytest.mark.parametrize(("distance", "expected"), [(3.0, 1.0), (np.nextafter(3.0, 4.0), 0.0)])
def test_a_mode_reaches_to_three_standard_deviations_and_no_further(distance, expected):
    points = np.array([[distance, 0.0]])
    assert mixture_coverage(points, CENTRES, sigma=1.0) == {"modes": expected, "high_quality": expected}


def test_radius_can_be_chosen():
    points = np.array([[3.5, 0.0]])
    assert mixture_coverage(points, CENTRES, sigma=1.0, within=4.0)["high_quality"] == 1.0


def test_points_that_are_not_finite_are_of_low_quality():
    points = np.array([[0.0, 0.0], [np.nan, 0.0], [np.inf, 0.0], [np.nan, np.nan]], np.float32)
    assert mixture_coverage(points, CENTRES, sigma=1.0) == {"modes": 1.0, "high_quality": 0.25}


def test_nothing_found_is_zero():
    points = np.full((4, 2), 100.0, np.float32)
    assert mixture_coverage(points, CENTRES, sigma=1.0) == {"modes": 0.0, "high_quality": 0.0}


def test_metric_asks_for_the_published_number_of_samples():
    assert MixtureCoverage(CENTRES, 1.0).samples == 2500


def test_points_without_known_modes_have_no_metric():
    assert sample_metrics(load_dataset("swissroll")) == []
