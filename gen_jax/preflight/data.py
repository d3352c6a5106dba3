"""What a data set would be, without reading it: shape, sizes and classes are all that a program depends on."""

import math
from typing import NamedTuple, NoReturn

import numpy as np

from gen_jax.config import Config
from gen_jax.data import Dataset, load_dataset
from gen_jax.data.dataset import Split
from gen_jax.data.field import image_fields
from gen_jax.data.load import BUILT_IN, FOLDER, NPZ
from gen_jax.data.sources import MAIN
from gen_jax.errors import ConfigError, DataError, nearest


class Known(NamedTuple):
    """A data set of TFDS's catalogue (tensorflow.org/datasets/catalog).

    Attributes:
      shape: (height, width, channels); height and width are 0 where images differ in size.
      train: examples of the split "train".
      held_out: examples of the split "test", else of "validation"; 0: neither is there.
      classes: of the feature "label"; 0: it has none.
    """

    shape: tuple[int, int, int]
    train: int
    held_out: int
    classes: int


KNOWN = {
    "mnist": Known((28, 28, 1), 60_000, 10_000, 10),
    "fashion_mnist": Known((28, 28, 1), 60_000, 10_000, 10),
    "kmnist": Known((28, 28, 1), 60_000, 10_000, 10),
    "cifar10": Known((32, 32, 3), 50_000, 10_000, 10),
    "cifar100": Known((32, 32, 3), 50_000, 10_000, 100),
    "svhn_cropped": Known((32, 32, 3), 73_257, 26_032, 10),
    "stl10": Known((96, 96, 3), 5_000, 8_000, 10),
    "celeb_a": Known((218, 178, 3), 162_770, 19_962, 0),
    "lsun/bedroom": Known((0, 0, 3), 3_033_042, 300, 0),
    "lsun/church_outdoor": Known((0, 0, 3), 126_227, 300, 0),
    "imagenet2012": Known((0, 0, 3), 1_281_167, 50_000, 1000),
    "imagenet_resized/32x32": Known((32, 32, 3), 1_281_167, 50_000, 1000),
    "imagenet_resized/64x64": Known((64, 64, 3), 1_281_167, 50_000, 1000),
}
# As `load_dataset` has it: what takes more bytes than this is read as it is needed.
MEMORY_LIMIT = 2 << 30


def unread(indices: np.ndarray) -> NoReturn:
    """What reads a described data set: raises RuntimeError, for there is nothing to read."""
    raise RuntimeError("this data set is only described")


def described(config: Config) -> Dataset:
    """The data set of a configuration, to be looked at but not read, unless it is one that comes with the library.

    Raises:
      ConfigError: it is not here, and not among those that are known by name; or needs an image size.
      DataError: a folder or a file that cannot be read.
    """
    spec, size = config.data, config.image_size
    # Nothing is decoded of what is meant to stream.
    limit = MEMORY_LIMIT if spec in BUILT_IN else 0
    try:
        return load_dataset(
            spec,
            data_dir=config.data_dir,
            image_size=size,
            skip_bad_images=config.skip_bad_images,
            memory_limit=limit,
        )
    except DataError as error:
        if spec.startswith((FOLDER, NPZ)):
            raise
        if spec not in KNOWN:
            raise ConfigError(
                f"--data is {spec}, which is not prepared here; accepted without data: {', '.join(BUILT_IN)}, "
                f"{', '.join(KNOWN)}{nearest(spec, [*BUILT_IN, *KNOWN])}"
            ) from error
    known = KNOWN[spec]
    height, width, channels = known.shape
    if size is None and (height != width or not height):
        what = f"are {width}x{height}" if height else "differ in size"
        raise ConfigError(f"the images of {spec!r} {what}: say which size of square, for example --image-size 64")
    train, held_out = known.train, known.held_out
    return Dataset(
        name=spec,
        train=Split(train, read=unread),
        test=Split(held_out, read=unread),
        fields=image_fields((size or height, size or width, channels), tuple(map(str, range(known.classes))) or None),
        fingerprint="described",
    )


def is_resident(dataset: Dataset, stream: str = MAIN) -> bool:
    """Whether training would hold the main split, or a further stream, on the devices rather than read it."""
    train, test = splits(dataset, stream)
    return train.arrays is not None or (train.size + test.size) * math.prod(dataset.shape) <= MEMORY_LIMIT


def splits(dataset: Dataset, stream: str = MAIN) -> tuple[Split, Split]:
    """What the main split, or a further stream, trains with and holds out."""
    return (dataset.train, dataset.test) if stream == MAIN else dataset.others[stream]


def entries(dataset: Dataset, stream: str = MAIN) -> tuple[str, ...]:
    """The fields that come from the main split, or from a further stream."""
    if stream != MAIN:
        return dataset.others[stream][0].entries
    elsewhere = {entry for train, _ in dataset.others.values() for entry in train.entries}
    return tuple(name for name in dataset.fields if name not in elsewhere)


def row_types(dataset: Dataset) -> dict[str, np.dtype]:
    """The dtype of each entry of a batch as stored, by name, without the indices."""
    return {name: field.dtype for name, field in dataset.fields.items()}


def row_shapes(dataset: Dataset) -> dict[str, tuple[int, ...]]:
    """The shape of one row of each entry of a batch, by name, without the indices."""
    return {name: field.shape for name, field in dataset.fields.items()}
