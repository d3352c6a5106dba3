import numpy as np
import pytest

from gen_jax.data.dataset import Dataset, Split, fingerprint
from gen_jax.data.field import image_fields, point_fields


def test_load_gives_the_asked_rows_with_their_positions():
    x = np.arange(10, dtype=np.float32)[:, None] * np.ones(2, np.float32)
    rows = Split(10, {"x": x, "label": np.arange(10, dtype=np.int32) * 7}).load(np.array([3, 0, 3]))
    np.testing.assert_array_equal(rows["x"][:, 0], [3, 0, 3])
    np.testing.assert_array_equal(rows["label"], [21, 0, 21])
    np.testing.assert_array_equal(rows["index"], [3, 0, 3])
    assert rows["index"].dtype == np.int32


def test_load_is_the_same_for_a_split_that_reads():
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    reads = Split(10, read=lambda indices: {"x": x[indices]})
    indices = np.array([9, 1, 4])
    for name, rows in Split(10, {"x": x}).load(indices).items():
        np.testing.assert_array_equal(reads.load(indices)[name], rows)


def test_a_split_has_one_source():
    with pytest.raises(ValueError, match="exactly one"):
        Split(1)
    with pytest.raises(ValueError, match="exactly one"):
        Split(1, {"x": np.zeros((1, 2), np.float32)}, read=lambda indices: {})


def test_kind_follows_the_shape():
    split = Split(1, {"x": np.zeros((1, 2), np.float32)})
    assert Dataset("a", split, split, point_fields(), "0").kind == "points"
    assert Dataset("a", split, split, image_fields((8, 8, 1)), "0").kind == "image"


def test_fingerprint_is_the_same_in_every_process_and_differs_with_the_content():
    assert fingerprint("mnist", 3) == "94015d285ad8af13"
    assert fingerprint("mnist", 3) != fingerprint("mnist", 4)
    assert fingerprint("a", "bc") != fingerprint("ab", "c")
