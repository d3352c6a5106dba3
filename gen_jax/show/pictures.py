"""Pictures as a page holds them: PNG inside the page, one stored pixel a pixel of the picture, enlarged by the page."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

Image = UInt8[np.ndarray, "height width channels"]


@dataclass(frozen=True)
class Picture:
    """An image within a page.

    Attributes:
      uri: "data:image/png;base64,…".
      width, height: of what is stored, in pixels.
      scale: how many times larger it is shown where there is room.
    """

    uri: str
    width: int
    height: int
    scale: int


def png_data_uri(image: Image) -> str:
    """An image of 1 or 3 channels as the address of itself."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def read_png(content: bytes) -> Image:
    """The pixels of a PNG of grey levels or colours; OSError for anything else."""
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(content)) as file:
        pixels = np.asarray(file if file.mode == "L" else file.convert("RGB"))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def picture(image: Image, width: int = 512) -> Picture:
    """An image to be shown at about `width` pixels, enlarged by a whole factor."""
    return Picture(png_data_uri(image), image.shape[1], image.shape[0], max(1, round(width / image.shape[1])))


def reduced(image: Image) -> UInt8[np.ndarray, "reduced_height reduced_width channels"]:
    """The smallest image that gives this one when enlarged by a whole factor: undoes an enlargement, loses nothing."""
    height, width, _ = image.shape
    common = math.gcd(height, width)
    for factor in range(common, 1, -1):
        if common % factor == 0:
            small = image[::factor, ::factor]
            if np.array_equal(small.repeat(factor, axis=0).repeat(factor, axis=1), image):
                return small
    return image
