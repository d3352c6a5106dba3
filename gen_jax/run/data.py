"""The data set that a configuration names."""

from gen_jax.config import Config
from gen_jax.data import Dataset, load_dataset
from gen_jax.data.load import FOLDER
from gen_jax.data.subset import subset


def load_data(config: Config, data_dir: str | None = None) -> Dataset:
    """The data set of a run.

    Args:
      config: names it, and says how its examples are read, and how many are learned from.
      data_dir: where it is, if not where the configuration says; of a folder of images, that folder.

    Raises:
      ConfigError, DataError: as `load_dataset` and `subset`.
    """
    is_moved_folder = config.data.startswith(FOLDER) and data_dir is not None
    dataset = load_dataset(
        f"{FOLDER}{data_dir}" if is_moved_folder else config.data,
        data_dir=data_dir or config.data_dir,
        image_size=config.image_size,
        skip_bad_images=config.skip_bad_images,
    )
    return subset(dataset, config.examples)
