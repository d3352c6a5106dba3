import numpy as np
import pytest
from sklearn.datasets import load_digits

from gen_jax.data import load_dataset
from gen_jax.data.digits import stratified


def test_the_splits_are_scikit_learns_digits_each_once():
    data = load_dataset("digits")
    raw, label = load_digits(return_X_y=True)
    ours = np.concatenate([data.train.arrays["x"], data.test.arrays["x"]]).reshape(-1, 64)
    labels = np.concatenate([data.train.arrays["label"], data.test.arrays["label"]])
    expected = np.round(raw * 255 / 16)
    rows = np.lexsort(np.c_[ours, labels].T)
    expected_rows = np.lexsort(np.c_[expected, label].T)
    np.testing.assert_array_equal(ours[rows], expected[expected_rows])
    np.testing.assert_array_equal(labels[rows], label[expected_rows])
    assert (ours.min(), ours.max()) == (0, 255)


def test_a_fifth_of_each_class_is_held_out():
    data = load_dataset("digits")
    held_out = np.bincount(data.test.arrays["label"])
    everything = held_out + np.bincount(data.train.arrays["label"])
    np.testing.assert_array_equal(held_out, np.round(everything / 5))
    assert data.train.size + data.test.size == 1797


def test_types_shapes_and_names():
    data = load_dataset("digits")
    assert (data.shape, data.kind, data.class_names) == ((8, 8, 1), "image", tuple("0123456789"))
    assert data.train.arrays["x"].dtype == np.uint8
    assert data.train.arrays["label"].dtype == np.int32


def test_every_load_is_the_same():
    first, second = load_dataset("digits"), load_dataset("digits")
    np.testing.assert_array_equal(first.test.arrays["x"], second.test.arrays["x"])
    assert first.fingerprint == second.fingerprint


def test_image_size_resizes_and_is_part_of_the_identity():
    small, large = load_dataset("digits"), load_dataset("digits", image_size=16)
    assert large.shape == (16, 16, 1)
    assert large.train.arrays["x"].shape == (small.train.size, 16, 16, 1)
    # Enlarging leaves the mean grey level of each image almost as it was.
    np.testing.assert_allclose(large.test.arrays["x"].mean((1, 2, 3)), small.test.arrays["x"].mean((1, 2, 3)), atol=6)
    assert large.fingerprint != small.fingerprint


def test_stratified_takes_the_share_of_every_class():
    label = np.repeat(np.arange(3, dtype=np.int32), [10, 20, 50])
    chosen = stratified(label, 0.1)
    np.testing.assert_array_equal(np.bincount(label[chosen]), [1, 2, 5])
    assert len(np.unique(chosen)) == 8


def test_scikit_learn_is_asked_once(monkeypatch, tmp_path):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))
    first = load_dataset("digits")

    def fail(**options):
        raise AssertionError("the digits were read again")

    monkeypatch.setattr("sklearn.datasets.load_digits", fail)
    again = load_dataset("digits", image_size=8)
    for one, other in ((first.train, again.train), (first.test, again.test)):
        np.testing.assert_array_equal(one.arrays["x"], other.arrays["x"])
        np.testing.assert_array_equal(one.arrays["label"], other.arrays["label"])
    next(tmp_path.iterdir()).write_bytes(b"damaged")
    with pytest.raises(AssertionError, match="read again"):
        load_dataset("digits")
