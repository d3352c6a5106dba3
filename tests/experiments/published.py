"""What an experiment's data look like, where they need not be here."""

import functools

import tensorflow_datasets as tfds

from gen_jax.config import Config
from gen_jax.data import load_dataset
from gen_jax.data.field import image_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import DataError


def described(config: Config) -> DataInfo:
    """The description of the data of a configuration: of the data themselves, or as TFDS publishes them."""
    return _described(config.data, config.image_size)


@functools.cache
def _described(name: str, image_size: int | None) -> DataInfo:
    try:
        return embedded(name, image_size)
    except DataError:
        # The description is part of the package; nothing is asked for over a network.
        features = dict(tfds.builder(name, data_dir="/nowhere", try_gcs=False).info.features.items())
    images = sorted(key for key, feature in features.items() if type(feature) is tfds.features.Image)
    *size, channels = features["image" if "image" in images else images[0]].shape
    if image_size is not None:
        size = [image_size, image_size]
    label = features.get("label")
    classes = tuple(map(str, range(label.num_classes))) if isinstance(label, tfds.features.ClassLabel) else None
    fields = image_fields((*size, channels), classes)
    return DataInfo(name, fields, train_size=1000, held_out_size=100, fingerprint="f")


def embedded(name: str, image_size: int | None) -> DataInfo:
    """The description of data that need no download. Raises DataError where they are not here."""
    return DataInfo.of(load_dataset(name, data_dir="/nowhere", image_size=image_size))
