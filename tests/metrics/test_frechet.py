import numpy as np
import pytest
from scipy import linalg, stats

from gen_jax.errors import ConfigError
from gen_jax.metrics.frechet import frechet_distance
from gen_jax.metrics.moments import Moments


def gaussian(mean: np.ndarray, covariance: np.ndarray) -> Moments:
    """Moments that are exactly these."""
    return Moments.from_arrays({"count": np.array(11), "mean": mean, "scatter": 10 * covariance})


def features(n: int, d: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, d)) @ generator.standard_normal((d, d)) + generator.standard_normal(d)


def by_square_root(a: Moments, b: Moments) -> float:
    root = linalg.sqrtm(a.covariance @ b.covariance).real
    return ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance - 2 * root)


def test_gaussians_whose_covariances_commute_have_a_closed_form():
    generator = np.random.default_rng(0)
    rotation = stats.ortho_group(6, seed=0).rvs()
    first, second = generator.uniform(0.1, 4, (2, 6))
    means = generator.standard_normal((2, 6))
    a, b = (gaussian(m, rotation @ np.diag(v) @ rotation.T) for m, v in zip(means, (first, second), strict=True))
    expected = ((means[0] - means[1]) ** 2).sum() + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_gaussians_of_the_line_have_the_textbook_distance():
    a, b = gaussian(np.array([1.0]), np.array([[4.0]])), gaussian(np.array([4.0]), np.array([[25.0]]))
    assert frechet_distance(a, b) == pytest.approx(3**2 + (2 - 5) ** 2, rel=1e-12)


def test_agrees_with_the_square_root_of_the_product():
    a, b = Moments.of(features(400, 20, 1)), Moments.of(features(300, 20, 2))
    expected = by_square_root(a, b)
    assert expected > 1
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("examples", [2, 10, 300])
def test_identical_sets_are_at_no_distance_in_any_order(examples):
    x = features(examples, 50, 3).astype(np.float32)
    scale = np.trace(Moments.of(x).covariance)
    assert 0 <= frechet_distance(Moments.of(x), Moments.of(x[::-1])) < 1e-9 * scale


def test_covariances_without_full_rank_have_the_distance_of_what_they_span():
    # Of 2 examples each: a = u u^T, b = v v^T, so the trace of the root of a b is |u . v|.
    generator = np.random.default_rng(4)
    u, v = generator.standard_normal((2, 100))
    expected = u @ u + v @ v - 2 * abs(u @ v)
    a, b = gaussian(np.zeros(100), np.outer(u, u)), gaussian(np.zeros(100), np.outer(v, v))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    dead = Moments.of(np.pad(features(60, 5, 5), ((0, 0), (0, 95))))
    alive = Moments.of(np.pad(features(60, 5, 6), ((0, 0), (0, 95))))
    inside = (Moments.of(features(60, 5, seed)) for seed in (5, 6))
    assert frechet_distance(dead, alive) == pytest.approx(frechet_distance(*inside), rel=1e-9)


def test_constant_features_differ_by_their_means():
    a, b = Moments.of(np.full((5, 3), 1.0)), Moments.of(np.full((5, 3), 3.0))
    assert frechet_distance(a, b) == 12.0


def test_features_that_are_not_finite_have_no_distance():
    x = features(10, 3, 0)
    with np.errstate(invalid="ignore"):
        broken = Moments.of(np.where(x > 2, np.nan, x))
    assert np.isnan(broken.mean).any()
    assert np.isnan(frechet_distance(Moments.of(x), broken))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="3 and of 4 dimensions"):
        frechet_distance(Moments.of(features(9, 3, 0)), Moments.of(features(9, 4, 0)))
    with pytest.raises(ConfigError, match="at least 2"):
        frechet_distance(Moments.of(features(9, 3, 0)), Moments.of(features(1, 3, 0)))
