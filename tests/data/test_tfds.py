import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image
from tensorflow_datasets.core import read_only_builder

from gen_jax.data import load_dataset
from gen_jax.errors import ConfigError, DataError


@pytest.fixture
def copied(tfds_dir, tmp_path):
    """A copy of MNIST's test split, said to be whichever splits a test wants, with its metadata edited."""

    def copy(splits, features=lambda f: None, info=lambda i: None):
        root = tmp_path / "tfds"
        target = root / "mnist" / "3.0.1"
        target.mkdir(parents=True)
        source = f"{tfds_dir}/mnist/3.0.1"
        for name in splits:
            shutil.copy(
                f"{source}/mnist-test.array_record-00000-of-00001", target / f"mnist-{name}.array_record-00000-of-00001"
            )
            (target / f"mnist-{name}.array_record-00000-of-00001").chmod(0o644)
        described = json.loads(pathlib.Path(source, "dataset_info.json").read_text())
        test = next(split for split in described["splits"] if split["name"] == "test")
        described["splits"] = [{**test, "name": name} for name in splits]
        info(described)
        (target / "dataset_info.json").write_text(json.dumps(described))
        declared = json.loads(pathlib.Path(source, "features.json").read_text())
        features(declared["featuresDict"]["features"])
        (target / "features.json").write_text(json.dumps(declared))
        return str(root)

    return copy


def streamed(data_dir, **options):
    # Nothing is decoded up front, which keeps these tests quick.
    return load_dataset("mnist", data_dir=data_dir, memory_limit=0, **options)


def test_mnist_is_what_tfds_reads(tfds_dir):
    data = streamed(tfds_dir)
    assert (data.train.size, data.test.size, data.shape) == (60_000, 10_000, (28, 28, 1))
    assert data.class_names == tuple("0123456789")
    theirs = read_only_builder.builder_from_files("mnist", data_dir=tfds_dir).as_data_source()
    indices = np.array([0, 59_999 % 10_000, 17, 4321])
    for ours, key in ((data.train, "train"), (data.test, "test")):
        rows = ours.load(indices)
        examples = [theirs[key][int(i)] for i in indices]
        np.testing.assert_array_equal(rows["x"], np.stack([example["image"] for example in examples]))
        np.testing.assert_array_equal(rows["label"], [example["label"] for example in examples])
        assert (rows["x"].dtype, rows["label"].dtype) == (np.uint8, np.int32)


def test_colours_and_class_names(tfds_dir):
    data = load_dataset("cifar10", data_dir=tfds_dir, memory_limit=0)
    assert data.shape == (32, 32, 3)
    assert data.class_names[:2] == ("airplane", "automobile")
    theirs = read_only_builder.builder_from_files("cifar10", data_dir=tfds_dir).as_data_source("test")
    np.testing.assert_array_equal(data.test.load(np.array([7]))["x"][0], theirs[7]["image"])


def test_held_in_memory_it_is_the_same_and_is_cached(copied, monkeypatch):
    data_dir = copied(["train", "test"])
    held, streams = load_dataset("mnist", data_dir=data_dir), streamed(data_dir)
    assert held.fingerprint == streams.fingerprint
    assert streams.train.arrays is None
    indices = np.array([9_999, 0, 5])
    for name, rows in streams.test.load(indices).items():
        np.testing.assert_array_equal(held.test.load(indices)[name], rows)
    monkeypatch.setattr("gen_jax.data.tfds.decode_image", None)
    again = load_dataset("mnist", data_dir=data_dir)
    np.testing.assert_array_equal(again.train.arrays["x"], held.train.arrays["x"])


def test_the_fingerprint_does_not_depend_on_the_directory(copied, tfds_dir, tmp_path):
    data_dir = copied(["train", "test"])
    shutil.copytree(data_dir, tmp_path / "moved")
    assert streamed(data_dir).fingerprint == streamed(str(tmp_path / "moved")).fingerprint
    assert streamed(data_dir).fingerprint != streamed(tfds_dir).fingerprint
    assert streamed(data_dir).fingerprint != streamed(data_dir, image_size=32).fingerprint


def test_the_size_that_images_have_may_be_said_or_not(tfds_dir):
    assert streamed(tfds_dir).shape == (28, 28, 1)
    assert streamed(tfds_dir).fingerprint == streamed(tfds_dir, image_size=28).fingerprint


def test_image_size_resizes(tfds_dir):
    x = streamed(tfds_dir, image_size=14).test.load(np.array([0]))["x"][0, ..., 0]
    original = Image.fromarray(streamed(tfds_dir).test.load(np.array([0]))["x"][0, ..., 0])
    np.testing.assert_array_equal(x, original.resize((14, 14), Image.Resampling.BICUBIC))


def test_validation_is_held_out_where_there_is_no_test(copied):
    data = streamed(copied(["train", "validation"]))
    assert (data.train.size, data.test.size) == (10_000, 10_000)


def test_a_tenth_of_train_is_held_out_where_there_is_nothing_else(copied):
    data_dir = copied(["train"])
    data = streamed(data_dir)
    assert (data.train.size, data.test.size) == (9_000, 1_000)
    whole = read_only_builder.builder_from_files("mnist", data_dir=data_dir).as_data_source("train")
    np.testing.assert_array_equal(data.test.load(np.array([3]))["x"][0], whole[39]["image"])
    np.testing.assert_array_equal(
        data.train.load(np.array([9, 8]))["x"], np.stack([whole[10]["image"], whole[8]["image"]])
    )


def test_without_a_train_split(copied):
    with pytest.raises(DataError, match="has no 'train' split, but test"):
        streamed(copied(["test"]))


def test_without_an_image_feature(copied):
    with pytest.raises(DataError, match="'mnist' has no image feature, but label"):
        streamed(copied(["train", "test"], features=lambda f: f.pop("image")))


def test_without_labels(copied):
    data = streamed(copied(["train", "test"], features=lambda f: f.pop("label")))
    assert data.class_names is None
    assert set(data.train.load(np.array([0]))) == {"x", "index"}


def test_sizes_that_vary_need_an_image_size(copied):
    def vary(features):
        features["image"]["image"]["shape"]["dimensions"] = ["-1", "-1", "1"]

    data_dir = copied(["train", "test"], features=vary)
    with pytest.raises(ConfigError, match=r"differ in size.*--image-size 64"):
        streamed(data_dir)
    assert streamed(data_dir, image_size=32).shape == (32, 32, 1)


def test_another_format_says_how_to_convert_it(copied):
    data_dir = copied(["train", "test"], info=lambda i: i.update(fileFormat="tfrecord"))
    with pytest.raises(DataError, match=r"as tfrecord, .* python -m gen_jax\.data\.prepare mnist --data-dir"):
        streamed(data_dir)


def test_a_version_that_is_not_there(tfds_dir):
    with pytest.raises(DataError, match=r"'mnist:9\.9\.9' is not prepared"):
        load_dataset("mnist:9.9.9", data_dir=tfds_dir)


def test_a_prepared_set_of_the_users_own_is_known_by_name(copied):
    data_dir = copied(["train", "test"], info=lambda i: i.update(name="my_own_set"))
    root = shutil.move(f"{data_dir}/mnist", f"{data_dir}/my_own_set")
    for path in list(pathlib.Path(root).glob("*/mnist-*")):
        path.rename(path.parent / path.name.replace("mnist-", "my_own_set-"))
    assert load_dataset("my_own_set", data_dir=data_dir, memory_limit=0).train.size == 10_000
    with pytest.raises(DataError, match="the nearest is 'my_own_set'"):
        load_dataset("my_own_sat", data_dir=data_dir)


def test_a_missing_file_is_a_data_error(copied):
    data_dir = copied(["train", "test"])
    next(pathlib.Path(data_dir).glob("mnist/*/mnist-train*")).unlink()
    with pytest.raises(DataError, match=r"split 'train' of 'mnist.*' cannot be read"):
        streamed(data_dir)


def test_a_damaged_file_is_a_data_error(copied):
    data_dir = copied(["train", "test"])
    file = next(pathlib.Path(data_dir).glob("mnist/*/mnist-train*"))
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"split 'train' of 'mnist.*' cannot be read"):
        streamed(data_dir).train.load(np.array([0, 9_999]))
