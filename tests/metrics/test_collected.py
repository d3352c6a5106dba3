import numpy as np
from small_networks import first_pixels

from gen_jax.data.dataset import Dataset, Split
from gen_jax.data.field import image_fields
from gen_jax.metrics.collected import collect, images_of, reference
from gen_jax.metrics.evenly import evenly_spread
from gen_jax.metrics.feature_network import FeatureExtractor
from gen_jax.training.sharding import make_mesh


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 2, 2, 1), np.uint8)


def extractor():
    return FeatureExtractor(first_pixels(3), make_mesh())


def dataset(x):
    split = Split(len(x), {"x": x})
    return Dataset("toy", split, split, image_fields(x.shape[1:]), "fingerprint")


def test_moments_and_probabilities_are_of_all_images_and_kept_features_evenly_spread():
    x = images(50)
    found = collect([x[:7], x[7:40], x[40:]], 50, extractor(), keep=10)
    features = x.reshape(50, -1)[:, :3].astype(np.float64)
    np.testing.assert_allclose(found.moments.mean, features.mean(axis=0))
    np.testing.assert_allclose(found.moments.covariance, np.cov(features.T))
    np.testing.assert_array_equal(found.features, features[evenly_spread(50, 10)])
    np.testing.assert_allclose(found.probabilities[:, 1], x[:, 0, 0, 0] / 255, rtol=1e-6)
    assert found.count == 50


def test_images_of_a_split_are_all_and_once():
    x = images(37)
    parts = list(images_of(Split(37, {"x": x}), 16))
    np.testing.assert_array_equal(np.concatenate(parts), x)


def test_reference_is_computed_once_for_each_content(monkeypatch):
    x, calls = images(40), []
    real = collect
    monkeypatch.setattr("gen_jax.metrics.collected.collect", lambda *args: calls.append(1) or real(*args))
    data = dataset(x)
    first, second = (reference(data, data.test, extractor()) for _ in range(2))
    assert len(calls) == 1
    np.testing.assert_array_equal(first.moments.covariance, second.moments.covariance)
    np.testing.assert_array_equal(first.features, second.features)
    assert second.count == 40
    other = dataset(np.where(np.arange(40)[:, None, None, None] == 3, 255 - x, x).astype(np.uint8))
    changed = reference(other, other.test, extractor())
    assert len(calls) == 2
    assert not np.array_equal(changed.moments.mean, first.moments.mean)
