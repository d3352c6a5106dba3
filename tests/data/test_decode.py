import io

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.decode import concatenate, decode_image, fit, in_parallel, read_header

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_rgb_and_grey_come_through_unchanged():
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(PIXELS)), None, grey=False), PIXELS)
    grey = PIXELS[..., 0]
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(grey)), None, grey=True), grey[..., None])
    as_rgb = decode_image(encoded(Image.fromarray(grey)), None, grey=False)
    np.testing.assert_array_equal(as_rgb, np.repeat(grey[..., None], 3, axis=-1))


def test_transparency_is_laid_over_white():
    alpha = RNG.integers(0, 256, (6, 9, 1), dtype=np.uint8)
    out = decode_image(encoded(Image.fromarray(np.concatenate([PIXELS, alpha], -1))), None, grey=False)
    share = alpha / 255
    np.testing.assert_allclose(out, PIXELS * share + 255 * (1 - share), atol=1.01)


def test_grey_with_alpha_stays_grey():
    pixels = np.stack([np.full((4, 4), 100, np.uint8), np.array([[0, 255, 0, 255]] * 4, np.uint8)], -1)
    out = decode_image(encoded(Image.fromarray(pixels, "LA")), None, grey=True)
    np.testing.assert_array_equal(out[..., 0], [[255, 100, 255, 100]] * 4)


def test_a_palettes_colours_are_looked_up_and_its_transparent_one_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode_image(encoded(image), None, False), [[[10, 20, 30], [40, 50, 60]]])
    for see_through in (0, bytes([0, 255])):
        data = encoded(image, transparency=see_through)
        np.testing.assert_array_equal(decode_image(data, None, False), [[[255, 255, 255], [40, 50, 60]]])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(kind):
    levels = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    data = encoded(Image.fromarray(levels), kind)
    np.testing.assert_array_equal(decode_image(data, None, grey=True)[..., 0], [[0, 1, 128, 255]])


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    out = decode_image(encoded(image, "JPEG", quality=100), None, grey=False)
    assert np.abs(out.astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    # What each value says of where the stored rows and columns belong (EXIF 2.3, 4.6.4).
    upright = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    data = encoded(Image.fromarray(PIXELS), exif=exif)
    np.testing.assert_array_equal(decode_image(data, None, grey=False), upright(PIXELS))


def test_an_animations_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(data, None, grey=False)[0, 0], [255, 0, 0])


@pytest.mark.parametrize("data", [b"", b"not an image at all", encoded(Image.fromarray(PIXELS))[:70]])
def test_what_is_no_whole_image_is_a_value_error(data):
    with pytest.raises(ValueError, match="not a readable image"):
        decode_image(data, None, grey=False)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of damaged TIFF tags on its own
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
def test_no_prefix_of_a_file_raises_anything_else(kind):
    noise = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    for length in range(0, len(data), max(1, len(data) // 60)):
        try:
            decode_image(data[:length], None, grey=False)
        except ValueError:
            continue


def test_floating_point_pixels_are_refused():
    with pytest.raises(ValueError, match="no stated range"):
        decode_image(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), None, grey=True)


def test_fit_crops_the_middle_square_where_nothing_is_scaled():
    np.testing.assert_array_equal(fit(Image.fromarray(PIXELS[:, :8]), 6), PIXELS[:, 1:7])
    tall = np.swapaxes(PIXELS[:, :8], 0, 1)
    np.testing.assert_array_equal(fit(Image.fromarray(tall), 6), tall[1:7])


def test_fit_is_the_short_side_resize_then_the_centre_crop():
    # A smooth picture, on which two good filters agree.
    y, x = np.mgrid[0:60, 0:100]
    pixels = (127 + 60 * np.sin(x / 15) + 60 * np.cos(y / 12)).astype(np.uint8)
    ours = np.asarray(fit(Image.fromarray(pixels), 30), int)
    resized = np.asarray(Image.fromarray(pixels).resize((50, 30), Image.Resampling.BICUBIC), int)
    assert np.abs(ours - resized[:, 10:40]).max() <= 2


def test_fit_averages_where_it_shrinks():
    # A fine chequerboard is grey from afar; without antialiasing it would be black, white or stripes.
    board = ((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8)
    for size in (8, 16, 24):
        out = np.asarray(fit(Image.fromarray(board), size), int)
        assert np.abs(out - 127.5).max() < 10


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_fit_takes_any_shape(size):
    assert fit(Image.new("RGB", size, "red"), 8).size == (8, 8)


def test_read_header_tells_size_and_greyness(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    assert read_header(tmp_path / "a.png") == ((9, 6), False)
    for pixels in (PIXELS[..., 0], PIXELS[..., 0] > 99, PIXELS[..., 0].astype(np.uint16)):
        Image.fromarray(pixels).save(tmp_path / "b.png")
        assert read_header(tmp_path / "b.png") == ((9, 6), True)


def test_in_parallel_keeps_the_order_and_covers_everything():
    runs = in_parallel(lambda indices: indices.tolist(), 1000, chunk=7)
    assert [i for run in runs for i in run] == list(range(1000))


def test_in_parallel_passes_errors_on():
    def fail(indices):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        in_parallel(fail, 1000)


def test_concatenate():
    parts = [{"x": np.arange(2)}, {"x": np.arange(3)}]
    np.testing.assert_array_equal(concatenate(parts)["x"], [0, 1, 0, 1, 2])
