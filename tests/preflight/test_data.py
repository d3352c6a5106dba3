import numpy as np
import pytest

from gen_jax.config import Config
from gen_jax.errors import ConfigError, DataError
from gen_jax.preflight.data import KNOWN, described, is_resident, row_shapes, row_types


def test_embedded_sets_are_as_they_are():
    digits = described(Config(data="digits", image_size=16))
    assert digits.shape == (16, 16, 1)
    assert (digits.train.size, digits.test.size, len(digits.class_names)) == (1438, 359, 10)
    assert row_shapes(digits) == {"x": (16, 16, 1), "label": ()}
    assert row_types(digits) == {"x": np.uint8, "label": np.int32}
    points = described(Config(data="ring8"))
    assert (row_shapes(points), row_types(points)) == ({"x": (2,)}, {"x": np.float32})
    assert is_resident(digits)
    assert is_resident(points)


def test_described_rows_are_those_of_the_arrays():
    for name in ("digits", "grid25"):
        dataset = described(Config(data=name))
        arrays = dataset.train.arrays
        assert row_types(dataset) == {key: array.dtype for key, array in arrays.items()}
        assert row_shapes(dataset) == {key: array.shape[1:] for key, array in arrays.items()}


def test_well_known_sets_need_not_be_there(tmp_path):
    dataset = described(Config(data="cifar10", data_dir=str(tmp_path)))
    assert dataset.shape == (32, 32, 3)
    assert (dataset.train.size, dataset.test.size, len(dataset.class_names)) == (50_000, 10_000, 10)
    with pytest.raises(RuntimeError, match="only described"):
        dataset.train.load(np.arange(2))


def test_an_image_size_applies_and_is_asked_for_where_images_are_no_squares(tmp_path):
    with pytest.raises(ConfigError, match="'celeb_a' are 178x218: say which size of square, for example --image-size"):
        described(Config(data="celeb_a", data_dir=str(tmp_path)))
    with pytest.raises(ConfigError, match="'lsun/bedroom' differ in size"):
        described(Config(data="lsun/bedroom", data_dir=str(tmp_path)))
    dataset = described(Config(data="celeb_a", image_size=64, data_dir=str(tmp_path)))
    assert dataset.shape == (64, 64, 3)
    assert dataset.class_names is None
    assert row_shapes(dataset) == {"x": (64, 64, 3)}


def test_what_does_not_fit_in_memory_streams(tmp_path):
    # 182,732 images of 12,288 bytes are 2.09 GiB, just more than is kept; of 3,072 bytes they are 0.52.
    large, small = (described(Config(data="celeb_a", image_size=size, data_dir=str(tmp_path))) for size in (64, 32))
    assert (is_resident(large), is_resident(small)) == (False, True)


def test_any_other_name_is_refused_with_those_that_are_known(tmp_path):
    with pytest.raises(ConfigError, match=r"--data is cifar11, which is not prepared.*cifar100.*nearest is 'cifar10'"):
        described(Config(data="cifar11", data_dir=str(tmp_path)))
    # TFDS knows it, but it is neither here nor described.
    with pytest.raises(ConfigError, match="--data is smallnorb, which is not prepared here; accepted without data"):
        described(Config(data="smallnorb", data_dir=str(tmp_path)))


def test_a_folder_that_is_not_there_is_a_data_error(tmp_path):
    with pytest.raises(DataError):
        described(Config(data=f"folder:{tmp_path / 'none'}"))


def test_described_sets_make_sense():
    for name, known in KNOWN.items():
        assert min(known.train, known.held_out) > 0, name
        assert known.shape[2] in (1, 3)
