"""From the bytes of an image file to a uint8 array, in parallel."""

import contextlib
import io
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import UInt8

from gen_jax.data.dataset import Arrays

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

ORIENTATION = 0x0112  # the EXIF tag; 1 is upright


def decode_image(data: bytes, image_size: int | None, grey: bool) -> UInt8[np.ndarray, "height width channels"]:
    """Decode one image file.

    The EXIF orientation is applied, transparency is laid over white, 16 bits are scaled to 8, CMYK and palettes become
    RGB, and of an animation the first frame is taken.

    Args:
        data: the bytes of the file.
        image_size: side of the square that the image is resized and cropped to (see `fit`); None leaves it as it is.
        grey: one channel if True, three otherwise.

    Returns:
        uint8 (height, width, 1 or 3).

    Raises:
        ValueError: the file is cut off, or is not an image.
    """
    from PIL import Image, ImageOps

    with _unreadable_is_value_error(), Image.open(io.BytesIO(data)) as opened:
        image: Image.Image = opened
        if image.getexif().get(ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
        image = _to_mode(image, "L" if grey else "RGB")
        if image_size is not None:
            image = fit(image, image_size)
        array = np.array(image)
    return array[..., None] if grey else array


def read_header(path: Path) -> tuple[tuple[int, int], bool]:
    """(width, height) of an image as it lies in the file, and whether it is grey. Raises ValueError if it is none."""
    from PIL import Image

    with _unreadable_is_value_error(), Image.open(path) as image:
        return image.size, image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")


def fit(image: "Image", size: int) -> "Image":
    """The largest centred square of `image`, resized to `size` x `size`.

    That is a resize of the short side to `size` and a centre crop, in one resampling. Bicubic with antialiasing
    (Pillow's filter widens when it shrinks, as FID needs: Parmar et al. 2022, arXiv:2104.11222); beyond a factor of
    three a box average by whole pixels comes first, which is faster and looks the same.
    """
    from PIL import Image

    width, height = image.size
    if (width, height) == (size, size):
        return image
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    square = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=square, reducing_gap=3.0)


def in_parallel(function: Callable[[np.ndarray], T], size: int, chunk: int = 256) -> list[T]:
    """`function` on consecutive runs of positions that together are 0..size-1, in threads; results in order.

    Threads, because Pillow lets go of the interpreter's lock while it decodes: photographs gain a core per thread.
    Small PNGs do not, and do not need to: some 25,000 of MNIST's a second are decoded either way, and worker
    processes take longer to start than that work takes.
    """
    runs = [np.arange(low, min(low + chunk, size)) for low in range(0, size, chunk)]
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(function, run) for run in runs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            # One unreadable image ends it all: do not decode the rest of a large set before saying so.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def concatenate(parts: Sequence[Arrays]) -> Arrays:
    """The rows of all parts, one after another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _to_mode(image: "Image", mode: str) -> "Image":
    """`image` as 8-bit "L" or "RGB"."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating-point pixels have no stated range")
    if image.mode.startswith("I"):
        # 65535 / 257 = 255. Pillow's own conversion would clip everything above 255 to white.
        pixels = np.clip(np.asarray(image, np.int64), 0, 65535)
        image = Image.fromarray(np.rint(pixels / 257.0).astype(np.uint8))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        # Dropping alpha would bring to light whatever colours lie under the transparent pixels.
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


@contextlib.contextmanager
def _unreadable_is_value_error() -> Iterator[None]:
    """One exception for all that Pillow's readers raise on damaged files."""
    from PIL import Image

    try:
        yield
    except (
        OSError,
        SyntaxError,
        EOFError,
        LookupError,
        TypeError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(f"not a readable image: {error}") from error
