"""What a method can tell of its data before anything is compiled."""

from collections.abc import Callable

from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError


def require_images(data: DataInfo) -> tuple[int, int, int]:
    """The (height, width, channels) of the data. Raises ConfigError for data that are points."""
    if not data.is_image:
        raise ConfigError(f"--data is {data.name}, which has points; this architecture makes images")
    height, width, channels = data.shape
    return height, width, channels


def require_labels(data: DataInfo) -> tuple[str, ...]:
    """The names of the classes. Raises ConfigError for data without labels."""
    if data.class_names is None:
        raise ConfigError(f"--data is {data.name}, which has no labels; this method needs them")
    return data.class_names


def require_size(
    data: DataInfo, supports: Callable[[int], bool], nearest: Callable[[int], int]
) -> tuple[int, int, int]:
    """The shape of the data, square images of a size that an architecture can make.

    Args:
      data: what is to be made.
      supports: side -> whether the architecture can make it.
      nearest: side -> the nearest that it can make.

    Raises:
      ConfigError: the data are no such images.
    """
    height, width, channels = require_images(data)
    if height != width or not supports(height):
        raise ConfigError(
            f"{data.name} has images of {height}x{width}, which this architecture cannot make; "
            f"the nearest that it can: --image-size {nearest(min(height, width))}"
        )
    return height, width, channels
