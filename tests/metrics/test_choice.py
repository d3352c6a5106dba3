import dataclasses

import numpy as np
import pytest
from small_networks import first_pixels

from gen_jax.data import load_dataset
from gen_jax.data.dataset import Dataset, Split
from gen_jax.data.field import image_fields
from gen_jax.errors import ConfigError
from gen_jax.metrics import choice
from gen_jax.metrics.inception import SHA256, inception_network, missing, stored_at
from gen_jax.training.sharding import make_mesh

CLASSIFIER, INCEPTION = first_pixels(2, "toy classifier"), first_pixels(2, "inception")


def dataset(channels=3, labelled=True):
    split = Split(8, {"x": np.zeros((8, 4, 4, channels), np.uint8)})
    return Dataset("photos", split, split, image_fields((4, 4, channels), ("a", "b") if labelled else None), "f")


@pytest.fixture
def without_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(choice, "classifier_network", lambda dataset, mesh, say: CLASSIFIER)
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))


@pytest.fixture
def installed(without_weights, monkeypatch):
    stored = stored_at(SHA256)
    stored.write_bytes(b"")
    monkeypatch.setattr(choice, "inception_network", lambda: INCEPTION)
    return stored


def chosen(data, wanted="auto"):
    return choice.feature_network(data, make_mesh(), wanted)


def test_colour_is_inceptions_and_labelled_grey_a_classifiers(installed):
    assert chosen(dataset(channels=3)) is INCEPTION
    assert chosen(dataset(channels=1)) is CLASSIFIER
    assert chosen(dataset(channels=1, labelled=False)) is INCEPTION


def test_what_is_asked_for_is_taken(installed):
    assert chosen(dataset(channels=3), "classifier") is CLASSIFIER
    assert chosen(dataset(channels=1), "inception") is INCEPTION


def test_without_weights_labels_serve_unless_inception_was_asked_for(without_weights):
    assert chosen(dataset(channels=3)) is CLASSIFIER
    with pytest.raises(ConfigError) as raised:
        chosen(dataset(channels=3), "inception")
    assert str(raised.value) == missing()


def test_weights_that_are_damaged_are_not_passed_over(installed, monkeypatch):
    monkeypatch.setattr(choice, "inception_network", inception_network)
    with pytest.raises(ConfigError, match=f"{installed} cannot be read"):
        chosen(dataset())


def test_without_weights_and_labels_nothing_serves(without_weights):
    with pytest.raises(ConfigError) as raised:
        chosen(dataset(labelled=False))
    assert str(raised.value) == f"photos has no labels to train a classifier on, and {missing()}"


def test_labels_asked_of_an_unlabelled_set_are_refused():
    with pytest.raises(ConfigError, match="digits has no labels"):
        chosen(
            dataclasses.replace(load_dataset("digits"), fields={"x": load_dataset("digits").fields["x"]}), "classifier"
        )


def test_points_have_no_features(installed):
    with pytest.raises(ConfigError) as raised:
        chosen(load_dataset("ring8"))
    assert str(raised.value) == "ring8 has points; features are of images"
