"""From a SPEC, the word a user writes after `--data`, to a data set."""

import difflib
import os
import re
from collections.abc import Callable

from gen_jax.data import toys
from gen_jax.data.dataset import Dataset
from gen_jax.data.digits import digits
from gen_jax.data.folder import folder
from gen_jax.data.npz import npz
from gen_jax.data.tfds import from_tfds, known_names
from gen_jax.errors import ConfigError, DataError

POINTS: dict[str, Callable[[], Dataset]] = {
    "ring8": toys.ring8,
    "grid25": toys.grid25,
    "swissroll": toys.swissroll,
}
BUILT_IN = ("digits", *POINTS)
FOLDER = "folder:"
NPZ = "npz:"


def load_dataset(
    spec: str,
    *,
    data_dir: str | None = None,
    image_size: int | None = None,
    skip_bad_images: bool = False,
    memory_limit: int = 2 << 30,
) -> Dataset:
    """The data set that `spec` names. Nothing is ever downloaded.

    Args:
        spec: `digits`, `ring8`, `grid25`, `swissroll`, `folder:PATH`, `npz:FILE`, or the name of a TFDS set.
        data_dir: where TFDS keeps its sets; None for its own default (~/tensorflow_datasets). Used by TFDS sets alone.
        image_size: images are resized on the short side and cropped at the centre to squares of this many pixels.
        skip_bad_images: leave out a folder's unreadable images rather than stop.
        memory_limit: bytes; a set that takes more when decoded to uint8 is read as it is needed. An npz file is read
            whole.

    Raises:
        ConfigError: an image_size that cannot be used, or is missing where the images differ in size.
        DataError: an unknown name, or a set that is not prepared, missing, empty or unreadable.
    """
    if image_size is not None and image_size < 1:
        raise ConfigError(f"--image-size {image_size}: must be 1 or more pixels")
    if spec in POINTS:
        if image_size is not None:
            raise ConfigError(f"--image-size {image_size}: {spec!r} has points, not images; leave the flag out")
        return POINTS[spec]()
    if spec == "digits":
        return digits(image_size)
    if spec.startswith(FOLDER):
        return folder(
            spec.removeprefix(FOLDER),
            image_size=image_size,
            skip_bad_images=skip_bad_images,
            memory_limit=memory_limit,
        )
    if spec.startswith(NPZ):
        return npz(spec.removeprefix(NPZ), image_size=image_size)
    _check_known(spec, data_dir)
    return from_tfds(spec, data_dir=data_dir, image_size=image_size, memory_limit=memory_limit)


def _check_known(spec: str, data_dir: str | None) -> None:
    """Raises DataError with the nearest name where `spec` (NAME, NAME/CONFIG or NAME:VERSION) names no data set."""
    names = known_names(data_dir)
    name = re.split("[/:]", spec)[0]
    if name in names:
        return
    if os.path.isdir(os.path.expanduser(spec)):
        raise DataError(f"unknown data set {spec!r}: for the folder of that name, write {FOLDER}{spec}")
    if os.path.isfile(os.path.expanduser(spec)) and spec.endswith(".npz"):
        raise DataError(f"unknown data set {spec!r}: for the file of that name, write {NPZ}{spec}")
    # Built-in names first, so that they win a draw.
    nearest = difflib.get_close_matches(name.lower(), [*BUILT_IN, *names], n=1, cutoff=0.0)[0]
    raise DataError(
        f"unknown data set {spec!r}; the nearest is {nearest!r}. Accepted: {', '.join(BUILT_IN)}, {FOLDER}PATH, "
        f"{NPZ}FILE, or the name of a TFDS set"
    )
