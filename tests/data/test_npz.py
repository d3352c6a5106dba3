import pickle
import zipfile

import numpy as np
import pytest

from gen_jax.data import Field, load_dataset
from gen_jax.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (23, 6, 4, 3), dtype=np.uint8)
LABELS = np.arange(23) % 3


@pytest.fixture
def save(tmp_path):
    """Writes arrays to a file and returns what to write after --data."""

    def write(name="data.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return f"npz:{tmp_path / name}"

    return write


def test_arrays_become_fields_and_rows_stay_together(save):
    data = load_dataset(save(x=PIXELS, label=LABELS, label_names=["cat", "dog", "owl"], y=PIXELS[::-1]))
    assert data.fields == {
        "x": Field("image", (6, 4, 3)),
        "label": Field("label", (), ("cat", "dog", "owl")),
        "y": Field("image", (6, 4, 3)),
    }
    # Every tenth row by position is held out; together the splits have each row once, and rows of one example together.
    assert (data.train.size, data.test.size) == (21, 2)
    held_out = [9, 19]
    np.testing.assert_array_equal(data.test.arrays["x"], PIXELS[held_out])
    np.testing.assert_array_equal(data.train.arrays["x"], np.delete(PIXELS, held_out, 0))
    np.testing.assert_array_equal(data.train.arrays["y"], np.delete(PIXELS[::-1], held_out, 0))
    np.testing.assert_array_equal(data.train.arrays["label"], np.delete(LABELS, held_out))
    assert data.class_names == ("cat", "dog", "owl")
    for name, field in data.fields.items():
        assert data.train.arrays[name].dtype == field.dtype
        assert data.train.arrays[name].shape[1:] == field.shape


GUESSED = [
    (np.zeros((4, 5, 6), np.uint8), Field("image", (5, 6, 1))),
    (np.zeros((4, 5, 6, 1), np.uint8), Field("image", (5, 6, 1))),
    (np.zeros((4, 2)), Field("points", (2,))),
    (np.zeros((4, 3)), Field("table", (3,))),
    (np.zeros(4), Field("table", (1,))),
    (np.zeros((4, 7, 2), np.float16), Field("series", (7, 2))),
    (np.full((4, 7), 9, np.int64), Field("tokens", (7,), values=10)),
    (np.full((4, 784), 255, np.uint8), Field("tokens", (784,), values=256)),
    (np.full(4, 2, np.uint16), Field("label", (), values=3)),
    (np.ones(4, bool), Field("label", (), values=2)),
    (np.ones((4, 3), bool), Field("attributes", (3,))),
]


@pytest.mark.parametrize(("array", "field"), GUESSED)
def test_a_kind_is_guessed_from_dtype_and_shape(save, array, field):
    data = load_dataset(save(x=array))
    assert data.fields == {"x": field}
    assert (data.train.arrays["x"].dtype, data.train.arrays["x"].shape[1:]) == (field.dtype, field.shape)
    np.testing.assert_array_equal(data.train.arrays["x"].reshape(3, -1), array[:3].reshape(3, -1))


def test_names_of_words_columns_and_attributes(save):
    on = np.eye(4, 3, dtype=int)
    data = load_dataset(
        save(
            x=np.full((4, 5), 1),
            x_names=["a", "b", "c"],
            attributes=on,
            attributes_names=["smiles", "hat", "beard"],
            prices=np.zeros((4, 2)),
            prices_kind="table",
            prices_names=np.array([b"bid", b"ask"]),
        )
    )
    assert data.fields["x"] == Field("tokens", (5,), ("a", "b", "c"))
    assert data.fields["x"].size == 3
    assert data.fields["attributes"] == Field("attributes", (3,), ("smiles", "hat", "beard"))
    np.testing.assert_array_equal(data.train.arrays["attributes"], on[:3].astype(np.float32))
    assert data.fields["prices"] == Field("table", (2,), ("bid", "ask"))


@pytest.mark.parametrize(
    ("array", "kind", "field"),
    [
        (np.zeros((4, 100)), "audio", Field("audio", (100,))),
        (np.zeros((4, 7)), "series", Field("series", (7, 1))),
        (np.full((4, 3, 3), 5), "codes", Field("codes", (3, 3), values=6)),
        (np.zeros((4, 3, 3)), "codes", Field("codes", (3, 3))),
        (np.arange(8).reshape(4, 2), "points", Field("points", (2,))),
    ],
)
def test_a_stated_kind_wins(save, array, kind, field):
    assert load_dataset(save(x=array, x_kind=kind)).fields == {"x": field}


@pytest.mark.parametrize("size", [2, 9, 10, 11])
def test_something_is_always_held_out_and_something_left(save, size):
    data = load_dataset(save(x=np.arange(2.0 * size).reshape(size, 2)))
    assert (data.train.size, data.test.size) == (size - 1, 1)
    assert data.test.arrays["x"][0, 0] == 2.0 * (9 if size >= 10 else size - 1)


def test_the_fingerprint_follows_the_content(save):
    def fingerprint(name="data.npz", **changes):
        return load_dataset(save(name, **{"x": PIXELS, "label": LABELS, **changes})).fingerprint

    first, other = fingerprint(), PIXELS.copy()
    other[22, 5, 3, 2] ^= 1
    assert fingerprint("elsewhere.npz") == first
    assert fingerprint(label=LABELS.astype(np.uint8)) == first
    changed = [fingerprint(x=other), fingerprint(label=LABELS[::-1]), fingerprint(label_names=["a", "b", "c"])]
    assert len({first, *changed}) == 4


def test_images_are_resized_as_those_of_a_folder_and_nothing_else_is(save):
    spec = save(x=PIXELS, y=np.full((23, 8, 8), 7, np.uint8), label=LABELS)
    data = load_dataset(spec, image_size=8)
    assert (data.fields["x"].shape, data.fields["y"].shape) == ((8, 8, 3), (8, 8, 1))
    assert data.train.arrays["x"].shape == (21, 8, 8, 3)
    np.testing.assert_array_equal(data.train.arrays["y"], np.full((21, 8, 8, 1), 7, np.uint8))
    assert data.fingerprint != load_dataset(spec).fingerprint
    with pytest.raises(ConfigError, match=r"--image-size 8: x of 'npz:.*' is points, not images; leave the flag out"):
        load_dataset(save(x=np.zeros((4, 2))), image_size=8)


def spoilt(shape, row, value):
    array = np.zeros(shape)
    array[(row, *(0 for _ in shape[1:]))] = value
    return array


REFUSED = [
    ({"y": PIXELS}, "there is no array 'x', which holds the examples, but y"),
    ({"x": PIXELS, "label": LABELS[:22]}, "'x' has 23 rows and 'label' has 22: each has one for each example"),
    ({"x": PIXELS[:1]}, "'x' has 1 row: at least 2 are needed, one to learn from and one to hold out"),
    ({"x": PIXELS[:0]}, "'x' has 0 rows: at least 2 are needed, one to learn from and one to hold out"),
    ({"x": PIXELS, "epoch": 3}, "'epoch' is a single value: every array has a row for each example"),
    ({"x": PIXELS, "index": LABELS}, "'index' is what every batch has of its own: give the array another name"),
    ({"x": spoilt((4, 2), 2, np.nan)}, "row 2 of 'x' holds nan: every number must be finite in float32"),
    ({"x": spoilt((4, 5, 2), 3, -np.inf)}, "row 3 of 'x' holds -inf: every number must be finite in float32"),
    ({"x": spoilt((4, 3), 1, 1e39)}, "row 1 of 'x' holds 1e+39: every number must be finite in float32"),
    (
        {"x": PIXELS, "label": LABELS - 1},
        "row 0 of 'label' holds -1: labels are integers, 0 for the first class",
    ),
    ({"x": PIXELS, "label": LABELS / 2}, "'label' holds float64: labels are integers, 0 for the first class"),
    (
        {"x": PIXELS, "label": LABELS, "label_names": ["a", "b"]},
        "row 2 of 'label' holds 2: there are 2 names in label_names, from 0 on",
    ),
    ({"x": PIXELS, "label": LABELS[:, None]}, "'label' has shape (23, 1): that of label is (rows,)"),
    (
        {"x": PIXELS, "label": 1_000_000 * LABELS},
        "row 2 of 'label' holds 2000000: number the classes 0, 1, 2, … without gaps",
    ),
    ({"x": np.full((4, 3), -1)}, "row 0 of 'x' holds -1: tokens are integers, 0 for the first word"),
    (
        {"x": np.full((4, 3), 2**40)},
        "row 0 of 'x' holds 1099511627776: tokens are integers, 0 for the first word, below 2147483647",
    ),
    ({"x": PIXELS, "label_names": ["a"]}, "'label_names' tells of 'label', and there is no such array"),
    (
        {"x": PIXELS, "label": LABELS, "lable_names": ["a"]},
        "'lable_names' tells of 'lable', and there is no such array; the nearest is 'label'",
    ),
    (
        {"x": PIXELS, "label": LABELS, "label_names": [0, 1, 2]},
        "'label_names' is int64 of shape (3,): it must be a list of strings",
    ),
    ({"x": PIXELS, "x_names": ["a"]}, "x_names: 'x' is of the kind image, which has nothing to name"),
    ({"x": np.zeros((4, 3)), "x_names": ["a"]}, "x_names is of length 1, and a row of 'x' has 3 entries"),
    ({"x": PIXELS, "text": ["a"] * 23}, "'text' holds strings: a field holds numbers"),
    ({"x": np.zeros(4, complex)}, "'x' holds complex128: a field holds numbers"),
    ({"x": np.zeros((4, 0))}, "'x' has rows of shape (0,), which hold nothing"),
    ({"x": np.zeros((4, 8, 8), np.float32), "x_kind": "image"}, "'x' holds float32: the pixels of an image are uint8"),
    ({"x": PIXELS[..., :2]}, "'x' is uint8 of shape (23, 6, 4, 2), which tells no kind of field: say which in x_kind"),
    ({"x": PIXELS, "x_kind": "imge"}, "x_kind is 'imge'; accepted: image, points, series"),
    ({"x": np.full((4, 9), 1.5), "x_kind": "audio"}, "row 0 of 'x' holds 1.5: audio lies between -1 and 1"),
    ({"x": np.zeros((4, 3)), "x_kind": "points"}, "'x' has shape (4, 3): that of points is (rows, 2)"),
]


@pytest.mark.parametrize(("arrays", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_arrays_that_make_no_data_set_are_refused_in_one_line(save, arrays, message):
    spec = save(**arrays)
    with pytest.raises(DataError) as error:
        load_dataset(spec)
    assert str(error.value).startswith(f"{spec.removeprefix('npz:')!r}: {message}")
    assert error.value.exit_code == 3
    assert "\n" not in str(error.value)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "trap.npz", x=np.array([Trap(), Trap()], object))
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps(Trap()))
    for name, message in (("trap", "'x' holds Python objects, which are not read"), ("pickled", "is not an npz file")):
        with pytest.raises(DataError, match=message):
            load_dataset(f"npz:{tmp_path / name}.npz")
    assert not (tmp_path / "sprung").exists()


def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path, save):
    save(x=PIXELS)
    whole = (tmp_path / "data.npz").read_bytes()
    middle = len(whole) // 2
    (tmp_path / "spoilt.npz").write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    (tmp_path / "cut.npz").write_bytes(whole[:middle])
    (tmp_path / "empty.npz").touch()
    (tmp_path / "folder.npz").mkdir()
    np.save(tmp_path / "array.npy", PIXELS)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    for name, message in {
        "none.npz": "there is no file",
        "folder.npz": "is a folder, not an npz file",
        "cut.npz": "is not an npz file: write it with numpy.savez",
        "empty.npz": "is not an npz file",
        "array.npy": "is not an npz file",
        "text.npz": "is not an npz file: it holds 'notes.txt', which is no array",
        "spoilt.npz": "cannot be read: Bad CRC-32",
    }.items():
        with pytest.raises(DataError, match=message) as error:
            load_dataset(f"npz:{tmp_path / name}")
        assert (error.value.exit_code, str(error.value).count("\n")) == (3, 0)
    with pytest.raises(DataError, match=f"for the file of that name, write npz:{tmp_path}"):
        load_dataset(str(tmp_path / "data.npz"))
