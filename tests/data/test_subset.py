import dataclasses

import numpy as np
import pytest

from gen_jax.data import Split, load_dataset
from gen_jax.data.subset import subset
from gen_jax.errors import ConfigError

DIGITS = load_dataset("digits")


def test_all_are_all():
    assert subset(DIGITS, None) is DIGITS


@pytest.mark.parametrize("count", [10, 100, 105])
def test_each_class_has_as_many_give_or_take_one(count):
    found = subset(DIGITS, count)
    counts = np.bincount(found.train.arrays["label"], minlength=10)
    assert counts.sum() == found.train.size == count
    assert counts.max() - counts.min() <= 1
    assert found.test is DIGITS.test


def test_more_examples_hold_the_fewer_and_are_another_data_set():
    few, more = subset(DIGITS, 50), subset(DIGITS, 60)
    rows = {image.tobytes() for image in more.train.arrays["x"]}
    assert all(image.tobytes() in rows for image in few.train.arrays["x"])
    assert len({DIGITS.fingerprint, few.fingerprint, more.fingerprint}) == 3
    assert subset(DIGITS, 50).fingerprint == few.fingerprint


def test_what_is_read_is_read_at_its_own_place():
    arrays = {"x": np.arange(40, dtype=np.float32).reshape(20, 2)}
    points = dataclasses.replace(load_dataset("ring8"), train=Split(20, read=lambda at: {"x": arrays["x"][at]}))
    found = subset(points, 5).train
    rows = found.load(np.arange(5))["x"]
    assert len({tuple(row) for row in rows.tolist()} & {tuple(row) for row in arrays["x"].tolist()}) == 5


@pytest.mark.parametrize("count", [9, 1439])
def test_too_few_and_too_many_are_one_line(count):
    message = f"--examples is {count}; accepted: a number from 10 to 1438, the number of training examples in digits"
    with pytest.raises(ConfigError, match=message):
        subset(DIGITS, count)
