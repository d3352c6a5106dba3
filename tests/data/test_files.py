import pathlib
import unicodedata

import numpy as np
import scipy.stats

from gen_jax.data.files import ImageFile, find_images, inspect


def test_names_are_sorted_relative_and_in_composed_unicode(pictures):
    pictures(1, under="root/b", name=unicodedata.normalize("NFD", "é.png"))
    root = pictures(1, under="root", name="z.PNG")
    names = [file.name for file in find_images(root)]
    assert names == ["b/" + unicodedata.normalize("NFC", "é.png"), "z.PNG"]


def test_top_is_the_first_folder_of_the_name():
    tops = [ImageFile(pathlib.Path(), name, 0, 0).top for name in ("a.png", "b/a.png", "b/c/a.png")]
    assert tops == ["", "b", "b"]


def test_ranks_of_consecutive_names_are_uniform():
    ranks = [ImageFile(pathlib.Path(), f"{i:06d}.jpg", 0, 0).rank for i in range(2000)]
    assert scipy.stats.kstest(ranks, "uniform").pvalue > 1e-3
    assert ranks[0] == ImageFile(pathlib.Path("elsewhere"), "000000.jpg", 5, 5).rank


def test_a_cut_off_image_is_found_only_by_a_thorough_look(pictures, truncated):
    root = pictures(3, size=(32, 24))
    truncated(root / "001.png")
    (root / "002.png").write_text("none")
    files = find_images(root)
    quick, thorough = inspect(files, thorough=False), inspect(files, thorough=True)
    np.testing.assert_array_equal([header.readable for header in quick], [True, True, False])
    np.testing.assert_array_equal([header.readable for header in thorough], [True, False, False])
    assert quick[0].size == (32, 24)
    assert not quick[0].grey
