import pytest

from gen_jax.data import load_dataset
from gen_jax.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("digit", "digits"), ("ring", "ring8"), ("Grid-25", "grid25"), ("mnits", "mnist"), ("CIFAR10", "cifar10")],
)
def test_an_unknown_name_is_answered_with_the_nearest(tmp_path, typed, meant):
    with pytest.raises(DataError, match=f"unknown data set '{typed}'; the nearest is '{meant}'") as error:
        load_dataset(typed, data_dir=str(tmp_path))
    assert error.value.exit_code == 3
    assert "folder:PATH" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bare_folder_is_answered_with_how_to_write_it(tmp_path):
    with pytest.raises(DataError, match=f"write folder:{tmp_path}"):
        load_dataset(str(tmp_path))


@pytest.mark.parametrize("name", ["ring8", "grid25", "swissroll"])
def test_points_have_no_image_size(name):
    with pytest.raises(ConfigError, match=f"--image-size 16: '{name}' has points") as error:
        load_dataset(name, image_size=16)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("spec", ["digits", "ring8", "mnist", "folder:."])
@pytest.mark.parametrize("image_size", [0, -3])
def test_an_image_size_is_positive(spec, image_size):
    with pytest.raises(ConfigError, match=f"--image-size {image_size}: must be 1 or more"):
        load_dataset(spec, image_size=image_size)


def test_built_in_sets_ignore_the_data_directory():
    assert load_dataset("ring8", data_dir="/nowhere").name == "ring8"
    assert load_dataset("digits", data_dir="/nowhere").name == "digits"


@pytest.mark.parametrize("spec", ["mnist", "celeb_a", "mnist:3.0.1", "smallnorb/config"])
def test_a_set_that_is_not_prepared_says_how_to_prepare_it(tmp_path, spec):
    directory = tmp_path / "not made yet"
    with pytest.raises(DataError) as error:
        load_dataset(spec, data_dir=str(directory))
    assert f"python -m gen_jax.data.prepare {spec} --data-dir '{directory}'" in str(error.value)
    assert error.value.exit_code == 3
    assert not directory.exists()


def test_without_a_data_directory_tfds_own_is_named(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "default"))
    with pytest.raises(DataError, match=f"--data-dir {tmp_path}/default"):
        load_dataset("mnist")
