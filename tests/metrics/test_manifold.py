import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.metrics.manifold import density_coverage, precision_recall, radii


def features(n: int, seed: int, d: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None].astype(np.float64) - b[None].astype(np.float64), axis=-1)


def radius_by_sorting(x: np.ndarray, k: int) -> np.ndarray:
    return np.array([np.sort(np.delete(row, index))[k - 1] for index, row in enumerate(distances(x, x))])


def all_by_definition(real: np.ndarray, samples: np.ndarray, k: int) -> tuple[float, float, float, float]:
    across = distances(real, samples)
    of_real, of_samples = radius_by_sorting(real, k)[:, None], radius_by_sorting(samples, k)[None]
    return (
        (across <= of_real).any(axis=0).mean(),
        (across <= of_samples).any(axis=1).mean(),
        (across < of_real).sum() / (k * len(samples)),
        (across < of_real).any(axis=1).mean(),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m"), [(60, 60), (90, 40)])
def test_agrees_with_the_definitions(n, m, k):
    real, samples = features(n, 0), 0.7 * features(m, 1) + np.float32(0.5)
    expected = all_by_definition(real, samples, k)
    found = (*precision_recall(real, samples, k), *density_coverage(real, samples, k))
    assert found == pytest.approx(expected, rel=1e-12)
    assert 0 < min(found[:2]) < 1


def test_ties_are_decided_by_the_surface():
    # On a grid of integers most balls have points on their surface.
    generator = np.random.default_rng(0)
    real, samples = generator.integers(0, 6, (2, 70, 2))
    expected = all_by_definition(real, samples, 3)
    assert (*precision_recall(real, samples), *density_coverage(real, samples, 3)) == pytest.approx(expected, rel=1e-12)


def test_radius_leaves_out_the_example_itself_but_not_its_equals():
    x = np.array([[0.0], [1.0], [3.0], [3.0]])
    np.testing.assert_array_equal(radii(x, 1), [1, 1, 0, 0])
    np.testing.assert_array_equal(radii(x, 2), [3, 2, 2, 2])


def test_samples_of_half_the_data_have_precision_one_and_recall_one_half():
    # Two clusters far apart, and samples from one of them.
    near, far = features(50, 0), features(50, 1) + 1000
    real = np.concatenate([near, far])
    found = precision_recall(real, np.concatenate([near, near])[:50])
    assert found == (1.0, 0.5)
    assert density_coverage(real, near).coverage == 0.5
    found = precision_recall(near, np.concatenate([near, far]))
    assert found == (0.5, 1.0)


def test_samples_elsewhere_have_nothing():
    real, samples = features(40, 0), features(40, 1) + 1000
    assert precision_recall(real, samples) == (0, 0)
    assert density_coverage(real, samples) == (0, 0)


def test_one_image_over_and_over_has_precision_and_no_recall():
    real = features(80, 0)
    collapsed = np.repeat(real[:1], 80, axis=0)
    assert precision_recall(real, collapsed) == (1, 1 / 80)
    assert density_coverage(real, collapsed).coverage < 0.5


def test_the_data_themselves_have_everything():
    real = features(80, 0)
    assert precision_recall(real, real) == (1, 1)
    # A ball without its surface holds its centre and all neighbours but the k-th.
    assert density_coverage(real, real) == (1, 1)


def test_fresh_samples_have_the_density_and_coverage_that_theory_expects():
    # Lemmas 1 and 2 of Naeem et al.: they hold for any distribution and dimension.
    k, n, m = 5, 300, 200
    found = np.array([density_coverage(features(n, seed, 3), features(m, 500 + seed, 3), k) for seed in range(30)])
    chances = [(n - 1 - i) / (n + m - 1 - i) for i in range(k)]
    error = found.std(axis=0) / np.sqrt(len(found))
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - [1, 1 - np.prod(chances)]), 4 * error)
    assert error.max() < 0.02


def test_far_from_the_origin_nothing_changes():
    real, samples = np.random.default_rng(0).integers(0, 20, (2, 100, 3)).astype(np.float32)
    shift = np.float32(2**22)
    assert precision_recall(real + shift, samples + shift) == precision_recall(real, samples)
    assert density_coverage(real + shift, samples + shift) == density_coverage(real, samples)


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(ConfigError, match="there are 3 samples; the 3-th nearest of the others needs at least 4"):
        precision_recall(features(50, 0), features(3, 1))
    with pytest.raises(ConfigError, match="there are 5 samples"):
        density_coverage(features(5, 0), features(50, 1))
    with pytest.raises(ConfigError, match="0 samples"):
        density_coverage(features(50, 0), features(0, 1))
    with pytest.raises(ConfigError, match="k is 0"):
        precision_recall(features(50, 0), features(50, 1), k=0)
    with pytest.raises(ConfigError, match="cannot be compared"):
        precision_recall(features(50, 0), features(50, 1, d=7))
