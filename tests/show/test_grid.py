import numpy as np
import pytest
from PIL import Image

from gen_jax.show.grid import image_grid, scatter_plot, write_png


def test_a_small_grid_pixel_by_pixel():
    images = np.array([[[10, 11]], [[20, 21]], [[30, 31]]], np.uint8)[..., None]
    g = 128
    expected = [
        [g, g, g, g, g, g, g],
        [g, 10, 11, g, 20, 21, g],
        [g, g, g, g, g, g, g],
        [g, 30, 31, g, g, g, g],
        [g, g, g, g, g, g, g],
    ]
    np.testing.assert_array_equal(image_grid(images, least_side=1)[..., 0], expected)


def test_small_grids_are_enlarged_by_whole_factors():
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    small = image_grid(image, least_side=4)
    assert small.shape == (4, 4, 3)
    np.testing.assert_array_equal(small[1:3, 1:3], image[0])
    large = image_grid(image, least_side=9)
    assert large.shape == (12, 12, 3)
    np.testing.assert_array_equal(large[::3, ::3], small)
    np.testing.assert_array_equal(large, np.kron(small, np.ones((3, 3, 1), np.uint8)))


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(9, None, (3, 3)), (10, None, (3, 4)), (5, 2, (3, 2)), (3, 5, (1, 5))]
)
def test_grids_are_as_square_as_they_get_unless_told(count, columns, shape):
    grid = image_grid(np.zeros((count, 1, 1, 1), np.uint8), columns, least_side=1)
    assert grid.shape == (2 * shape[0] + 1, 2 * shape[1] + 1, 1)
    assert (grid == 0).sum() == count


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_read_back_as_it_was_written_and_nothing_else_is_left(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    path = tmp_path / "samples" / "100.png"
    write_png(path, picture)
    with Image.open(path) as image:
        assert image.format == "PNG"
        read = np.asarray(image)
    np.testing.assert_array_equal(read.reshape(picture.shape), picture)
    assert list(path.parent.iterdir()) == [path]


def test_a_picture_replaces_the_one_before(tmp_path):
    path = tmp_path / "1.png"
    for value in (3, 4):
        write_png(path, np.full((2, 2, 3), value, np.uint8))
    with Image.open(path) as image:
        assert (np.asarray(image) == 4).all()
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_cannot_be_put_in_place_leaves_the_old_one_whole(tmp_path, monkeypatch):
    path = tmp_path / "1.png"
    write_png(path, np.zeros((2, 2, 3), np.uint8))
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", lambda self, target: (_ for _ in ()).throw(OSError("killed")))
        patch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            write_png(path, np.ones((2, 2, 3), np.uint8))
    assert path.read_bytes() == before


@pytest.mark.parametrize("centres", [None, np.array([[0.0, 0.0], [1.0, 1.0]])])
def test_points_are_plotted_as_a_picture(centres):
    blank = scatter_plot(np.zeros((0, 2)), np.zeros((0, 2)))
    picture = scatter_plot(np.random.default_rng(0).normal(size=(50, 2)), centres)
    assert picture.shape == (512, 512, 3)
    assert picture.dtype == np.uint8
    assert (picture != blank).any()
    red = (picture[..., 0] > 180) & (picture[..., 1] < 90) & (picture[..., 2] < 90)
    assert red.any() == (centres is not None)
