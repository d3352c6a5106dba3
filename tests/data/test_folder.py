import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from gen_jax.data import load_dataset
from gen_jax.errors import ConfigError, DataError


def everything(data):
    return np.concatenate([split.load(np.arange(split.size))["x"] for split in (data.train, data.test)])


def as_rows(images):
    return sorted(images.reshape(len(images), -1).tolist())


def test_every_image_is_in_one_of_the_splits_unchanged(pictures):
    root = pictures(40)
    data = load_dataset(f"folder:{root}")
    assert data.shape == (8, 8, 3)
    assert data.class_names is None
    assert set(data.train.arrays) == {"x"}
    files = np.stack([np.asarray(Image.open(path)) for path in root.iterdir()])
    assert as_rows(everything(data)) == as_rows(files)
    assert data.test.size >= 1


def test_a_tenth_is_held_out_by_name(pictures):
    data = load_dataset(f"folder:{pictures(600, size=(2, 2))}")
    # Binomial(600, 0.1): 60, give or take four standard deviations.
    assert 60 - 30 < data.test.size < 60 + 30


def test_adding_images_moves_no_other(pictures):
    root = pictures(100)
    before = load_dataset(f"folder:{root}")
    pictures(100, name="new-{:03d}.png", seed=1)
    after = load_dataset(f"folder:{root}")
    assert after.train.size + after.test.size == 200
    for split in ("train", "test"):
        old, new = (as_rows(getattr(data, split).arrays["x"]) for data in (before, after))
        assert all(row in new for row in old)
    assert before.fingerprint != after.fingerprint


def test_two_images_are_enough(pictures):
    for seed in range(8):
        data = load_dataset(f"folder:{pictures(2, under=str(seed), name=f'{seed}-{{}}.png')}")
        assert (data.train.size, data.test.size) == (1, 1)


def test_sub_folders_are_classes(pictures):
    for k, name in enumerate(["zebra", "ant", "Übung", "猫"]):
        pictures(10, under=f"animals/{name}", seed=k)
    pictures(5, under="animals/ant/deep/deeper", seed=9)
    root = pictures(0, under="animals")
    data = load_dataset(f"folder:{root}")
    assert data.class_names == tuple(sorted(["zebra", "ant", "Übung", "猫"]))
    assert data.train.size + data.test.size == 45
    by_content = {}
    for path in root.rglob("*.png"):
        label = data.class_names.index(unicodedata.normalize("NFC", path.relative_to(root).parts[0]))
        by_content[np.asarray(Image.open(path)).tobytes()] = label
    for split in (data.train, data.test):
        assert split.arrays["label"].dtype == np.int32
        for x, label in zip(split.arrays["x"], split.arrays["label"], strict=True):
            assert by_content[x.tobytes()] == label


def test_an_image_outside_the_sub_folders_means_no_classes(pictures):
    pictures(5, under="p/a")
    root = pictures(5, under="p", seed=1)
    data = load_dataset(f"folder:{root}")
    assert data.class_names is None
    assert "label" not in data.train.arrays


def test_grey_stays_grey_only_if_all_are(pictures):
    root = pictures(5, mode="L")
    pictures(5, mode="LA", name="alpha-{}.png")
    assert load_dataset(f"folder:{root}").shape == (8, 8, 1)
    pictures(1, mode="RGB", name="colour-{}.png")
    assert load_dataset(f"folder:{root}").shape == (8, 8, 3)


def test_a_folder_of_everything(pictures, tmp_path):
    root = pictures(3)
    for i, (mode, kind) in enumerate(
        [("L", "png"), ("RGBA", "png"), ("P", "gif"), ("CMYK", "jpg"), ("RGB", "JPEG"), ("RGB", "webp"), ("1", "tiff")]
    ):
        pictures(1, size=(9 + i, 20 - i), mode=mode, name=f"nested {i} ü.{kind}", under=f"pictures/{i}")
    Image.fromarray(np.zeros((30, 17), np.uint16)).save(root / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 12), "red").save(root / "turned.jpg", exif=exif)
    (root / ".hidden.png").write_text("not looked at")
    (root / "notes.txt").write_text("not an image")
    data = load_dataset(f"folder:{root}", image_size=8)
    assert data.shape == (8, 8, 3)
    assert data.train.size + data.test.size == 12
    assert everything(data).dtype == np.uint8


def test_a_link_to_a_folder_above_is_not_followed_for_ever(pictures):
    root = pictures(6)
    os.symlink(root, root / "again", target_is_directory=True)
    data = load_dataset(f"folder:{root}")
    assert data.train.size + data.test.size == 6


def test_the_fingerprint_does_not_depend_on_where_the_folder_is(pictures):
    here, there = pictures(6, under="here"), pictures(6, under="there")
    other = pictures(6, under="other", seed=1, size=(10, 10))
    first, second, third = (load_dataset(f"folder:{path}").fingerprint for path in (here, there, other))
    assert first == second != third
    assert load_dataset(f"folder:{here}", image_size=4).fingerprint != first


def test_decoding_is_cached_until_a_file_changes(pictures, monkeypatch):
    root = pictures(6)
    spec = f"folder:{root}"
    first = everything(load_dataset(spec))
    decoded = []
    monkeypatch.setattr(
        "gen_jax.data.folder.decode_image", lambda *a: decoded.append(a) or np.zeros((8, 8, 3), np.uint8)
    )
    np.testing.assert_array_equal(everything(load_dataset(spec)), first)
    assert decoded == []
    os.utime(root / "000.png", (1, 1))
    load_dataset(spec)
    assert decoded


def test_above_the_memory_limit_it_streams_the_same_examples(pictures):
    for k in range(2):
        pictures(15, under=f"pictures/{k}", seed=k)
    spec = f"folder:{pictures(0)}"
    held, streams = load_dataset(spec), load_dataset(spec, memory_limit=30 * 8 * 8 * 3 - 1)
    assert load_dataset(spec, memory_limit=30 * 8 * 8 * 3).train.arrays is not None
    assert streams.fingerprint == held.fingerprint
    for split in ("train", "test"):
        a, b = getattr(held, split), getattr(streams, split)
        assert b.arrays is None
        assert a.size == b.size
        indices = np.arange(a.size)[::-1]
        for name, rows in a.load(indices).items():
            np.testing.assert_array_equal(b.load(indices)[name], rows)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*nowhere") as error:
        load_dataset(f"folder:{tmp_path}/nowhere")
    assert error.value.exit_code == 3


def test_a_file_for_a_folder(tmp_path):
    (tmp_path / "a.png").write_text("")
    with pytest.raises(DataError, match=r"a\.png' is a file, not a folder"):
        load_dataset(f"folder:{tmp_path}/a.png")


def test_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="holds no images"):
        load_dataset(f"folder:{tmp_path}")


def test_a_single_image(pictures):
    with pytest.raises(DataError, match="1 readable image: at least 2"):
        load_dataset(f"folder:{pictures(1)}")


def test_different_sizes_need_an_image_size(pictures):
    root = pictures(3, size=(40, 40))
    pictures(3, size=(50, 35), name="b{}.png")
    with pytest.raises(ConfigError, match=r"2 different sizes.*--image-size 32") as error:
        load_dataset(f"folder:{root}")
    assert error.value.exit_code == 2
    assert load_dataset(f"folder:{root}", image_size=32).shape == (32, 32, 3)


def test_one_size_that_is_not_square_needs_an_image_size(pictures):
    with pytest.raises(ConfigError, match=r"are 200x180.*--image-size 64"):
        load_dataset(f"folder:{pictures(3, size=(200, 180))}")


@pytest.mark.parametrize("memory_limit", [0, 2 << 30])
def test_a_text_file_named_png_is_named(pictures, memory_limit):
    root = pictures(3)
    (root / "liar.png").write_text("I am not an image")
    with pytest.raises(DataError, match=r"liar\.png' cannot be read.*--skip-bad-images"):
        load_dataset(f"folder:{root}", memory_limit=memory_limit)


def test_a_truncated_image_is_named(pictures, truncated):
    root = pictures(3, size=(32, 32))
    truncated(root / "001.png")
    with pytest.raises(DataError, match=r"001\.png' cannot be read.*--skip-bad-images"):
        load_dataset(f"folder:{root}")


def test_a_truncated_image_in_a_stream_is_named_when_it_is_reached(pictures, truncated):
    root = pictures(3, size=(32, 32))
    truncated(root / "001.png")
    data = load_dataset(f"folder:{root}", memory_limit=0)
    with pytest.raises(DataError, match=r"001\.png' cannot be read"):
        everything(data)


@pytest.mark.parametrize("memory_limit", [0, 2 << 30])
def test_bad_images_are_skipped_and_counted_if_so_asked(pictures, truncated, memory_limit):
    root = pictures(10, size=(32, 32))
    truncated(root / "001.png")
    (root / "liar.jpg").write_text("I am not an image")
    for _ in range(2):  # decoded, then from the cache
        data = load_dataset(f"folder:{root}", skip_bad_images=True, memory_limit=memory_limit)
        assert data.skipped == (str(root / "001.png"), str(root / "liar.jpg"))
        assert len(everything(data)) == 9
    with pytest.raises(DataError, match="cannot be read"):
        everything(load_dataset(f"folder:{root}", memory_limit=memory_limit))


def test_too_few_left_after_skipping(pictures, truncated):
    root = pictures(2, size=(32, 32))
    truncated(root / "001.png")
    with pytest.raises(DataError, match="1 readable image: at least 2"):
        load_dataset(f"folder:{root}", skip_bad_images=True)
