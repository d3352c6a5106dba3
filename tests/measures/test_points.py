import numpy as np
import pytest

from gen_jax.measures import measure
from gen_jax.metrics.mixture import mixture_coverage
from gen_jax.metrics.wasserstein import wasserstein_1


def test_modes_and_quality_are_those_of_the_samples_with_the_seed(subject, point_run):
    made = subject(point_run, samples=300, seed=3)
    modes, quality = measure(made, ["mixture"])
    mixture = made.dataset.mixture
    found = mixture_coverage(point_run.sample(300, seed=3), mixture.centres, mixture.sigma)
    assert (modes.value, quality.value) == (found["modes"], found["high_quality"])
    assert modes.name == "Modes of 8"
    assert modes.protocol["samples"] == 300
    assert quality.unit == "share"


def test_distance_is_the_optimal_transport_and_that_of_real_sets_stands_beside(subject, point_run):
    made = subject(point_run, samples=100)
    (score,) = measure(made, ["wasserstein"])
    real = made.dataset.test.arrays["x"][:100]
    assert score.value == pytest.approx(wasserstein_1(point_run.sample(100), real))
    floor = score.protocol["of two real sets"]
    assert floor == pytest.approx(wasserstein_1(made.dataset.train.arrays["x"][:100], real), rel=1e-4)
    assert floor < score.value
    assert score.protocol["points"] == 100
    assert np.isclose(score.protocol["reference"]["size"], 10_000)
