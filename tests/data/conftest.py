"""Folders of images as people have them, and a cache directory of each test's own."""

import pathlib

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache_directory(tmp_path, monkeypatch):
    directory = tmp_path / "cache"
    monkeypatch.setenv("GEN_JAX_CACHE", str(directory))
    return directory


@pytest.fixture(scope="session")
def tfds_dir():
    directory = pathlib.Path(__file__).parents[2].parent / "shared" / "tfds"
    if not (directory / "mnist").is_dir():
        pytest.skip("needs the TFDS directory ../shared/tfds, which is not here")
    return str(directory)


@pytest.fixture
def pictures(tmp_path):
    """Writes `count` random pictures, each of its own content, into a folder, and returns the folder."""

    def write(count=20, size=(8, 8), mode="RGB", under="pictures", name="{:03d}.png", seed=0):
        root = tmp_path / under
        root.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        for i in range(count):
            pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(root / name.format(i))
        return root

    return write


@pytest.fixture
def truncated():
    """Cuts a file off in the middle of its pixels, behind an intact header."""

    def cut(path):
        data = path.read_bytes()
        path.write_bytes(data[: max(60, len(data) // 2)])
        return path

    return cut
