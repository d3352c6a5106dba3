"""Decoded images are kept in the user's cache directory, so that a set is decoded once."""

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gen_jax.data.dataset import Arrays
from gen_jax.host.cache_directory import cache_directory

# Part of every file's name: raise it when the meaning of what is stored changes.
VERSION = 1


def cached(key: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` returned the last time it was called for `key`, or what it returns now.

    A cache that cannot be read, written or trusted costs time, never the run: the arrays are made again.

    Args:
        key: names the content, in characters that a file name may hold.
        make: the slow way to the same arrays; what it raises is not caught.
    """
    path = cache_directory() / f"{key}.v{VERSION}.npz"
    stored = _read(path)
    if stored is not None:
        return stored
    arrays = make()
    # OSError: no such right, no space, a file where the directory should be.
    with contextlib.suppress(OSError):
        _write(path, arrays)
    return arrays


def _read(path: Path) -> Arrays | None:
    try:
        # A zip archive carries a CRC-32 of every member, which is checked as it is read: damage cannot pass for data.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            for_numpy: dict[str, np.ndarray] = dict(arrays)
            np.savez(file, allow_pickle=False, **for_numpy)
        # Atomic: another run sees the whole file or none.
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
