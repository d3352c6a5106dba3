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


def test_fewer_examples_than_features_have_the_distance_that_the_examples_say():
    # S = X^T X / (n - 1) of centred X, so the trace of the root of S_a S_b is a sum of singular values of X_a X_b^T.
    first, second = features(30, 200, 4), features(25, 200, 5)
    centred = [x - x.mean(axis=0) for x in (first, second)]
    trace_of_root = linalg.svdvals(centred[0] @ centred[1].T).sum() / np.sqrt(29 * 24)
    traces = sum((x**2).sum() / (len(x) - 1) for x in centred)
    expected = ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum() + traces - 2 * trace_of_root
    assert frechet_distance(Moments.of(first), Moments.of(second)) == pytest.approx(expected, rel=2e-9)


def test_features_that_are_always_zero_change_nothing():
    first, second = features(60, 5, 5), features(60, 5, 6)
    padded = [Moments.of(np.pad(x, ((0, 0), (0, 95)))) for x in (first, second)]
    expected = frechet_distance(Moments.of(first), Moments.of(second))
    assert frechet_distance(*padded) == pytest.approx(expected, rel=1e-9)


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
