import numpy as np
import pytest
from small_networks import first_pixels

from gen_jax.metrics.feature_network import FeatureExtractor, FeatureNetwork
from gen_jax.training.sharding import make_mesh


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 1), np.uint8)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 40])
def test_every_image_is_seen_once_and_in_order(n):
    x = images(n)
    seen = FeatureExtractor(first_pixels(3), make_mesh())(x)
    np.testing.assert_array_equal(seen.features, x.reshape(n, -1)[:, :3])
    np.testing.assert_allclose(seen.probabilities[:, 1], x[:, 0, 0, 0] / 255, rtol=1e-6)


def test_batches_are_whole_multiples_of_the_devices():
    assert FeatureExtractor(first_pixels(3, batch_size=3), make_mesh()).batch_size == 8


def test_parts_are_seen_no_more_than_a_batch_at_once():
    parts = [images(20, seed) for seed in range(3)]
    seen = list(FeatureExtractor(first_pixels(2), make_mesh()).stream(parts))
    assert [len(each.features) for each in seen] == [16, 4] * 3
    found = np.concatenate([each.features for each in seen])
    np.testing.assert_array_equal(found, np.concatenate(parts).reshape(60, -1)[:, :2])


def test_name_in_files_has_letters_digits_and_underscores_alone():
    assert first_pixels(1, "fashion_mnist classifier").slug == "fashion_mnist_classifier"
    assert first_pixels(1, "my photos (2) classifier").slug == "my_photos_2_classifier"


def test_provenance_has_the_accuracy_where_it_is_known():
    network = first_pixels(2)
    told = {"name": "pixels classifier", "digest": "0123456789abcdef", "dimension": 2}
    assert network.provenance == told
    known = FeatureNetwork(network.name, network.digest, 2, network.apply, network.variables, 0.98765)
    assert known.provenance == {**told, "accuracy": 0.9877}
