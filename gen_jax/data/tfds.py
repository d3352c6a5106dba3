"""Images prepared by TensorFlow Datasets, read from its array_record files without TensorFlow."""

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gen_jax.data.dataset import Arrays, Dataset, Split, fingerprint
from gen_jax.data.decode import decode_image
from gen_jax.data.field import image_fields
from gen_jax.data.materialise import as_split
from gen_jax.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

# For a set without a held-out split: every tenth training example is held out (TFDS stores its examples shuffled).
HELD_OUT_EVERY = 10


def known_names(data_dir: str | None) -> tuple[str, ...]:
    """The sets prepared in `data_dir`, and those that TFDS could prepare."""
    import tensorflow_datasets as tfds
    from etils import epath

    root = epath.Path(_resolve(data_dir))
    prepared = []
    if root.is_dir():
        prepared = [child.name for child in root.iterdir() if child.is_dir() and _has_version(child)]
    return (*sorted(prepared), *tfds.list_builders(with_community_datasets=False))


def from_tfds(name: str, *, data_dir: str | None, image_size: int | None, memory_limit: int) -> Dataset:
    """The TFDS set `name` ("mnist", "celeb_a", "smallnorb", "name/config:version") from `data_dir`.

    What is held out is TFDS's "test" split, else its "validation" split, else every tenth training example. The image
    is the feature "image", or the only image feature; the label is the feature "label" where it is a class.

    Args:
        name: as TFDS writes it; must be one of `known_names`.
        data_dir: where TFDS keeps its sets; None for its own default.
        image_size: side of the images (see `decode.fit`); may be None where all are squares of one size.
        memory_limit: bytes; a set that takes more when decoded streams.

    Raises:
        DataError: the set is not prepared, not in a format that can be read, or holds no images.
        ConfigError: the images differ in size, or are not square, and no image_size is given.
    """
    builder = _builder(name, data_dir)
    features, counts = builder.info.features, {key: split.num_examples for key, split in builder.info.splits.items()}
    image_key, label = _image_feature(name, features), _label_feature(features)
    height, width, channels = features[image_key].shape
    if image_size is None and (height is None or height != width):
        what = "differ in size" if height is None or width is None else f"are {width}x{height}"
        raise ConfigError(
            f"the images of {name!r} {what}: say which size of square to make of them, for example --image-size 64"
        )
    side = image_size or height
    if height == width == side:
        # They have that size: the set is the same whether it was asked for or not.
        image_size = None
    grey = channels == 1
    shape = (side, side, 1 if grey else 3)
    if "train" not in counts:
        raise DataError(f"the data set {name!r} has no 'train' split, but {', '.join(sorted(counts))}")
    held_out = next((key for key in ("test", "validation") if key in counts), None)
    total = counts["train"] + (counts[held_out] if held_out else 0)
    in_memory = total * int(np.prod(shape)) <= memory_limit

    def split(key: str, positions: np.ndarray) -> Split:
        what = f"split {key!r} of {builder.info.full_name!r}"
        with _unreadable_is_data_error(what):
            source, files = _raw_records(builder, key), _files(builder, key)

        def read(indices: np.ndarray) -> Arrays:
            with _unreadable_is_data_error(what):
                examples = [_parse(record) for record in source.__getitems__(positions[indices].tolist())]
                images = [
                    decode_image(example[image_key].bytes_list.value[0], image_size, grey) for example in examples
                ]
            arrays = {"x": np.stack(images)}
            if label is not None:
                arrays["label"] = np.array([example["label"].int64_list.value[0] for example in examples], np.int32)
            return arrays

        # The last position tells a part of the split from the whole.
        content = fingerprint(files, len(positions), int(positions[-1]), shape, image_size)
        cache_key = f"{builder.info.full_name}-{key}-{content}".replace("/", "-")
        return as_split(read, len(positions), in_memory, cache_key)

    train = np.arange(counts["train"])
    if held_out is not None:
        splits = split("train", train), split(held_out, np.arange(counts[held_out]))
    else:
        last = train % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        splits = split("train", train[~last]), split("train", train[last])
    return Dataset(
        name=name,
        train=splits[0],
        test=splits[1],
        fields=image_fields(shape, None if label is None else tuple(label.names)),
        fingerprint=fingerprint(builder.info.full_name, sorted(counts.items()), shape, image_size),
    )


def prepare_command(name: str, data_dir: str | None) -> str:
    """What to type to have `name` in `data_dir`."""
    return f"python -m gen_jax.data.prepare {shlex.quote(name)} --data-dir {shlex.quote(_resolve(data_dir))}"


def _builder(name: str, data_dir: str | None) -> "DatasetBuilder":
    """A builder made from the files alone: it neither needs the code that prepared them nor could download anything."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import file_adapters, read_only_builder

    root = _resolve(data_dir)
    try:
        builder = read_only_builder.builder_from_files(name, data_dir=root)
    except tfds.core.DatasetNotFoundError as error:
        raise DataError(
            f"the data set {name!r} is not prepared in {root!r}: prepare it with: {prepare_command(name, data_dir)}"
        ) from error
    if file_adapters.FileFormat.ARRAY_RECORD not in builder.info.available_file_formats():
        found = builder.info.file_format.value
        raise DataError(
            f"the data set {name!r} is prepared in {root!r} as {found}, which only TensorFlow reads: "
            f"have it as array_record too with: {prepare_command(name, data_dir)}"
        )
    return builder


def _raw_records(builder: "DatasetBuilder", split: str) -> Any:
    """Random access to a split's serialised examples; threads may share it."""
    from tensorflow_datasets.core.decode import DeserializeMethod

    return builder.as_data_source(split, deserialize_method=DeserializeMethod.RAW_BYTES, file_format="array_record")


def _parse(record: bytes) -> Any:
    """The features of a serialised tf.train.Example, by name: several times as fast as TFDS's own decoding."""
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example.FromString(record).features.feature


def _files(builder: "DatasetBuilder", split: str) -> list[tuple[str, int, int]]:
    """Name, bytes and modification time of each file behind a split."""
    from etils import epath

    stats = [(path.name, epath.Path(path).stat()) for path in builder.info.splits[split].filepaths]
    return [(name, stat.length, int(stat.mtime)) for name, stat in stats]


def _image_feature(name: str, features: Any) -> str:
    import tensorflow_datasets as tfds

    images = sorted(key for key, feature in features.items() if type(feature) is tfds.features.Image)
    if not images:
        raise DataError(f"the data set {name!r} has no image feature, but {', '.join(sorted(features))}")
    if "image" not in images and len(images) > 1:
        raise DataError(f"the data set {name!r} has several image features and none is 'image': {', '.join(images)}")
    key = "image" if "image" in images else images[0]
    dtype = np.dtype(features[key].np_dtype)
    if dtype not in (np.uint8, np.uint16):
        raise DataError(f"the images of {name!r} are {dtype.name}: only uint8 and uint16 can be read")
    return key


def _label_feature(features: Any) -> Any:
    import tensorflow_datasets as tfds

    return next((f for key, f in features.items() if key == "label" and isinstance(f, tfds.features.ClassLabel)), None)


def _resolve(data_dir: str | None) -> str:
    import tensorflow_datasets as tfds

    return os.path.expanduser(data_dir if data_dir is not None else tfds.core.constants.DATA_DIR)


def _has_version(path: Any) -> bool:
    versions = re.compile(r"\d+\.\d+\.\d+$")
    return any(
        versions.match(found.parent.name) for pattern in ("*", "*/*") for found in path.glob(f"{pattern}/features.json")
    )


@contextlib.contextmanager
def _unreadable_is_data_error(what: str) -> Iterator[None]:
    """One error, in one line, for all that the readers of records, of examples and of images raise on damaged files."""
    from google.protobuf.message import DecodeError

    try:
        yield
    except (OSError, RuntimeError, ValueError, LookupError, DecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{what} cannot be read: {reason}; prepare the data set again") from error
