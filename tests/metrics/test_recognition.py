import numpy as np
import pytest

from gen_jax.data import load_dataset
from gen_jax.metrics import Recognition


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def recognition(digits):
    return Recognition(digits.train.arrays["x"], digits.train.arrays["label"])


def test_real_held_out_digits_are_recognised_and_rightly(digits, recognition):
    images, labels = digits.test.arrays["x"], digits.test.arrays["label"]
    found = recognition(images)
    assert found["recognised"] > 0.9
    predicted = recognition.probabilities(images).argmax(axis=1)
    assert (predicted == labels).mean() > 0.95
    # Each class is about a tenth of the held-out images.
    assert 0.08 < found["rarest_class"] <= 0.1


def test_noise_is_seldom_recognised(recognition):
    noise = np.random.default_rng(0).integers(0, 256, (500, 8, 8, 1)).astype(np.uint8)
    assert recognition(noise)["recognised"] < 0.5


def test_a_class_that_is_missing_makes_the_rarest_class_nought(digits, recognition):
    images, labels = digits.test.arrays["x"], digits.test.arrays["label"]
    # No other digit is taken for a 6.
    found = recognition(images[labels != 6])
    assert found["rarest_class"] == 0.0
    assert found["recognised"] > 0.9
    assert recognition(images[labels == 6]) == {"recognised": pytest.approx(1, abs=0.05), "rarest_class": 0.0}


def test_numbers_are_shares_of_all_samples(recognition, monkeypatch):
    certain, unsure = [0.9, 0.05, 0.05], [0.4, 0.3, 0.3]
    answers = np.array([certain, certain, certain[::-1], unsure, [0.1, 0.8, 0.1]])
    monkeypatch.setattr(Recognition, "probabilities", lambda self, images: answers)
    assert recognition(np.zeros((5, 8, 8, 1), np.uint8)) == {"recognised": 0.8, "rarest_class": 0.2}
    answers = np.array([certain, unsure])
    assert recognition(np.zeros((2, 8, 8, 1), np.uint8)) == {"recognised": 0.5, "rarest_class": 0.0}


def test_probability_of_one_half_is_not_enough(recognition, monkeypatch):
    monkeypatch.setattr(Recognition, "probabilities", lambda self, images: np.array([[0.5, 0.3, 0.2]]))
    assert recognition(np.zeros((1, 8, 8, 1), np.uint8))["recognised"] == 0.0


def test_probabilities_of_an_image_sum_to_one(digits, recognition):
    probabilities = recognition.probabilities(digits.test.arrays["x"][:20])
    assert probabilities.shape == (20, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
