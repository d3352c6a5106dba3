"""A file of NumPy's as a data set: `npz:FILE`, written with `numpy.savez(FILE, x=..., label=...)`."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from gen_jax.data.arrays import from_arrays
from gen_jax.data.dataset import Arrays, Dataset
from gen_jax.errors import DataError

DAMAGED = (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What NumPy and zipfile raise on files that are damaged."""


def npz(path: str, *, image_size: int | None = None) -> Dataset:
    """The arrays in a file as a data set, in memory; see `arrays.from_arrays`. Nothing in it is ever unpickled.

    Args:
        path: the file.
        image_size: side of its images; None: as they are.

    Raises:
        DataError: there is no such file, it is no npz or damaged, or its arrays make no data set.
        ConfigError: an image size where no field is an image.
    """
    arrays = _read(path)
    try:
        return from_arrays(arrays, name=f"npz:{path}", image_size=image_size)
    except DataError as error:
        raise DataError(f"{path!r}: {error}") from error


def _read(path: str) -> Arrays:
    file = Path(path).expanduser()
    if not file.exists():
        raise DataError(f"there is no file {path!r}")
    if file.is_dir():
        raise DataError(f"{path!r} is a folder, not an npz file")
    try:
        if not zipfile.is_zipfile(file):
            raise DataError(f"{path!r} is not an npz file: write it with numpy.savez")
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: _member(archive, name, path) for name in archive.files}
    except DAMAGED as error:
        raise DataError(f"{path!r} cannot be read: {' '.join(str(error).split())}") from error
    return arrays


def _member(archive: "np.lib.npyio.NpzFile", name: str, path: str) -> np.ndarray:
    try:
        array = archive[name]
    except ValueError as error:
        # The one thing that NumPy would unpickle.
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"{path!r}: {name!r} holds Python objects, which are not read: store numbers, or strings as names"
        ) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path!r} is not an npz file: it holds {name!r}, which is no array")
    return array
