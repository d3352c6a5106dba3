import base64

import numpy as np
import pytest

from gen_jax.show.pictures import picture, png_data_uri, read_png, reduced


def pixels(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def content(uri):
    kind, _, data = uri.partition(",")
    assert kind == "data:image/png;base64"
    return base64.b64decode(data)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_survive_the_page(channels):
    image = pixels(5, 7, channels)
    np.testing.assert_array_equal(read_png(content(png_data_uri(image))), image)


def test_what_is_no_png_is_refused():
    with pytest.raises(OSError, match="cannot identify image"):
        read_png(b"not a picture")


@pytest.mark.parametrize(("height", "width", "factor"), [(5, 7, 1), (5, 7, 4), (6, 4, 2), (1, 1, 9)])
def test_enlarged_images_are_reduced_to_what_they_were(height, width, factor):
    image = pixels(height, width, 3)
    enlarged = image.repeat(factor, axis=0).repeat(factor, axis=1)
    np.testing.assert_array_equal(reduced(enlarged), image)


def test_an_image_that_is_almost_enlarged_stays_whole():
    enlarged = pixels(3, 3, 1).repeat(4, axis=0).repeat(4, axis=1)
    enlarged[5, 5] ^= 1
    np.testing.assert_array_equal(reduced(enlarged), enlarged)


def test_pictures_are_shown_enlarged_by_whole_factors():
    sizes = [(p.width, p.height, p.scale) for p in (picture(pixels(10, side, 1)) for side in (73, 233, 512, 2000))]
    assert sizes == [(73, 10, 7), (233, 10, 2), (512, 10, 1), (2000, 10, 1)]
