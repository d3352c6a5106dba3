import dataclasses

import jax
import numpy as np
import pytest

from gen_jax.data import load_dataset
from gen_jax.data.dataset import Split
from gen_jax.errors import ConfigError
from gen_jax.metrics.classifier import classifier_network
from gen_jax.metrics.feature_network import FeatureExtractor
from gen_jax.training.sharding import make_mesh

# Eight virtual devices would exchange gradients for longer than they compute them.
MESH = make_mesh(jax.devices()[:1])


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


# With few of XLA's passes the training would take six times as long.
@pytest.mark.usefixtures("compiled_as_for_users")
def test_digits_are_learnt_once_and_the_accuracy_is_that_on_held_out_images(digits, monkeypatch):
    monkeypatch.setattr("gen_jax.metrics.classifier.LEAST_STEPS", 250)
    said = []
    network = classifier_network(digits, MESH, say=said.append)
    again = classifier_network(digits, MESH, say=said.append)
    # Another test of this process may have trained it before.
    assert said in ([], ["training a classifier of digits for its features, once"])
    assert again.digest == network.digest
    assert network.name == "digits classifier"
    seen = FeatureExtractor(again, MESH)(digits.test.arrays["x"])
    right = np.mean(seen.probabilities.argmax(axis=1) == digits.test.arrays["label"])
    assert again.accuracy == network.accuracy == pytest.approx(right)
    assert right > 0.9
    assert seen.features.shape == (digits.test.size, network.dimension)
    assert seen.features.var(axis=0, ddof=1).mean() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(seen.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_other_data_have_another_classifier_and_a_short_name(digits, monkeypatch):
    monkeypatch.setattr("gen_jax.metrics.classifier.LEAST_STEPS", 1)
    monkeypatch.setattr("gen_jax.metrics.classifier.MOST_STEPS", 1)
    few = Split(64, {name: array[:64] for name, array in digits.train.arrays.items()})
    photos = dataclasses.replace(digits, name="folder:/some/where/photos/", train=few)
    said = []
    network = classifier_network(photos, MESH, say=said.append)
    assert network.name == "photos classifier"
    assert network.digest != classifier_network(digits, MESH).digest
    assert len(said) == 1


def test_unlabelled_images_points_and_too_few_images_are_refused(digits):
    with pytest.raises(ConfigError) as raised:
        classifier_network(dataclasses.replace(digits, fields={"x": digits.fields["x"]}), MESH)
    assert str(raised.value) == "digits has no labels; a classifier for its features needs labelled images"
    with pytest.raises(ConfigError) as raised:
        classifier_network(load_dataset("ring8"), MESH)
    assert str(raised.value) == "ring8 has points; a classifier for its features needs labelled images"
    none = Split(0, {name: array[:0] for name, array in digits.train.arrays.items()})
    with pytest.raises(ConfigError) as raised:
        classifier_network(dataclasses.replace(digits, train=none), MESH)
    assert str(raised.value) == "digits has 0 images; a classifier needs at least 1"
