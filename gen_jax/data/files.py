"""The image files under a folder, and what their headers say."""

import dataclasses
import hashlib
import os
import unicodedata
from pathlib import Path

import numpy as np

from gen_jax.data.cache import cached
from gen_jax.data.dataset import Arrays, fingerprint
from gen_jax.data.decode import concatenate, decode_image, in_parallel, read_header
from gen_jax.errors import DataError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image file: where it is, and what identifies it.

    Attributes:
        path: where it is.
        name: its path inside the folder, "/" between the parts, in Unicode's NFC: the same on every system.
        size: bytes.
        changed: when it was last changed, in nanoseconds.
    """

    path: Path
    name: str
    size: int
    changed: int

    @property
    def top(self) -> str:
        """The sub-folder of the folder it lies in; "" where it lies in the folder itself."""
        return self.name.rpartition("/")[0].partition("/")[0]

    @property
    def rank(self) -> float:
        """A number in [0, 1) that depends on the name alone, as good as random."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "big") / 2**32


@dataclasses.dataclass(frozen=True)
class Header:
    """What is known of an image without its pixels: (width, height), whether it is grey, whether it can be read."""

    size: tuple[int, int]
    grey: bool
    readable: bool


def find_images(root: Path) -> list[ImageFile]:
    """The image files under `root`, sorted by name. Raises DataError where there is no such folder, or none in it."""
    if not root.exists():
        raise DataError(f"there is no folder {str(root)!r}")
    if not root.is_dir():
        raise DataError(f"{str(root)!r} is a file, not a folder of images")
    files = []
    visited = set()
    for parent, folders, names in os.walk(root, followlinks=True):
        # A link to a folder above would otherwise be followed for ever.
        here = os.path.realpath(parent)
        if here in visited:
            folders.clear()
            continue
        visited.add(here)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in EXTENSIONS and path.is_file():
                relative = unicodedata.normalize("NFC", path.relative_to(root).as_posix())
                stat = path.stat()
                files.append(ImageFile(path, relative, stat.st_size, stat.st_mtime_ns))
    if not files:
        kinds = " ".join(sorted(extension[1:] for extension in EXTENSIONS))
        raise DataError(f"the folder {str(root)!r} holds no images ({kinds})")
    return sorted(files, key=lambda file: file.name)


def inspect(files: list[ImageFile], *, thorough: bool) -> list[Header]:
    """What the files' headers say, read in parallel and remembered in the cache.

    Args:
        files: what to look at.
        thorough: decode every image too, to find those that are cut off behind an intact header.
    """

    def look(indices: np.ndarray) -> Arrays:
        headers = [_header(files[i].path, thorough) for i in indices]
        return {
            "size": np.array([header.size for header in headers], np.int32),
            "grey": np.array([header.grey for header in headers], bool),
            "readable": np.array([header.readable for header in headers], bool),
        }

    content = fingerprint([(file.name, file.size, file.changed) for file in files], thorough)
    table = cached(f"headers-{content}", lambda: concatenate(in_parallel(look, len(files))))
    rows = zip(table["size"].tolist(), table["grey"].tolist(), table["readable"].tolist(), strict=True)
    return [Header((width, height), grey, readable) for (width, height), grey, readable in rows]


def unreadable(path: str) -> DataError:
    """The error for an image that is cut off, or is none."""
    return DataError(
        f"the image {path!r} cannot be read: mend or remove it, or leave such images out (--skip-bad-images)"
    )


def _header(path: Path, thorough: bool) -> Header:
    try:
        data = path.read_bytes() if thorough else None
        size, grey = read_header(path)
        if data is not None:
            decode_image(data, None, grey)
    except (OSError, ValueError):
        return Header((0, 0), False, False)
    return Header(size, grey, True)
