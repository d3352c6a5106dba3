"""The one augmentation that all methods share."""

from collections.abc import Callable
from dataclasses import dataclass

from gen_jax.config import Config
from gen_jax.data import Identity, Signed, Transform
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError


@dataclass(frozen=True)
class Flip(Config):
    """Whether images are mirrored."""

    flip: bool = False
    """Mirror half of the images."""

    def transform(
        self, data: DataInfo, images: Callable[[bool], Transform] = Signed, points: Transform | None = None
    ) -> Transform:
        """What the networks are shown of the data.

        Args:
          data: what there is.
          images: whether to flip -> how images are shown.
          points: how points are shown; None: as they are.

        Raises:
          ConfigError: points are to be flipped.
        """
        if data.is_image:
            return images(self.flip)
        if self.flip:
            raise ConfigError(f"--flip: {data.name!r} has points, not images; leave the flag out")
        return points or Identity()
