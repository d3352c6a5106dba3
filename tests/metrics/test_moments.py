import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.metrics.moments import Moments


def features(n: int, d: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((n, d)) @ generator.standard_normal((d, d)) + 3).astype(np.float32)


def test_moments_are_those_of_numpy():
    x = features(500, 7)
    found = Moments.of(x)
    assert found.count == 500
    assert found.dimension == 7
    np.testing.assert_allclose(found.mean, x.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-11)
    assert found.mean.dtype == found.covariance.dtype == np.float64


def test_batches_of_any_sizes_in_any_order_give_the_same():
    x = features(1000, 5)
    whole = Moments.of(x)
    streamed = Moments(5)
    for batch in np.split(np.random.default_rng(1).permutation(x), [1, 1, 4, 400, 999]):
        streamed.add(batch)
    assert streamed.count == 1000
    np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(streamed.covariance, whole.covariance, rtol=1e-11)


def test_sets_longer_than_a_batch_are_taken_in_whole():
    x = features(10_000, 2)
    np.testing.assert_allclose(Moments.of(x).covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-11)


def test_merged_moments_are_those_of_all_examples():
    x = features(300, 4)
    found, second = Moments.of(x[:100]), Moments.of(x[100:])
    found.merge(second)
    found.merge(Moments(4))
    assert found.count == 300
    np.testing.assert_allclose(found.covariance, Moments.of(x).covariance, rtol=1e-12)
    assert second.count == 200


def test_small_deviations_from_a_large_mean_are_not_lost():
    # A sum of squares of 1e16 each would hold no digit of a variance of 1.
    x = np.random.default_rng(0).standard_normal((2000, 3))
    streamed = Moments(3)
    for batch in np.split(x + 1e8, 20):
        streamed.add(batch)
    np.testing.assert_allclose(streamed.covariance, np.cov(x, rowvar=False), atol=1e-7)


def test_a_cache_file_gives_the_same_back(tmp_path):
    found = Moments.of(features(50, 3))
    np.savez(tmp_path / "moments.npz", **found.as_arrays())
    with np.load(tmp_path / "moments.npz") as stored:
        again = Moments.from_arrays(stored)
    assert again.count == found.count
    np.testing.assert_array_equal(again.mean, found.mean)
    np.testing.assert_array_equal(again.covariance, found.covariance)


def test_what_is_no_moments_is_refused():
    stored = Moments.of(features(50, 3)).as_arrays()
    with pytest.raises(KeyError):
        Moments.from_arrays({"mean": stored["mean"], "scatter": stored["scatter"]})
    with pytest.raises(ValueError, match="no moments"):
        Moments.from_arrays({**stored, "mean": stored["mean"][:2]})


def test_a_covariance_needs_two_examples():
    with pytest.raises(ConfigError, match="1 samples; a covariance needs at least 2"):
        _ = Moments.of(features(1, 3)).covariance


def test_features_of_another_dimension_are_refused():
    with pytest.raises(ConfigError, match=r"\(5, 4\); accepted: \(n, 3\)"):
        Moments(3).add(features(5, 4))
    with pytest.raises(ConfigError, match="4 features cannot be merged into those of 3"):
        Moments(3).merge(Moments(4))
