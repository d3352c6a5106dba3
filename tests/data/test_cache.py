import os

import numpy as np
import pytest

from gen_jax.data.cache import cached
from gen_jax.host.cache_directory import cache_directory


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"x": np.arange(1000, dtype=np.uint8), "label": np.arange(3, dtype=np.int32)}


def assert_made(arrays):
    np.testing.assert_array_equal(arrays["x"], np.arange(1000, dtype=np.uint8))
    np.testing.assert_array_equal(arrays["label"], [0, 1, 2])
    assert (arrays["x"].dtype, arrays["label"].dtype) == (np.uint8, np.int32)


def test_made_once_and_read_after(cache_directory):
    make = Maker()
    for _ in range(3):
        assert_made(cached("a", make))
    assert make.calls == 1
    assert [file.suffix for file in cache_directory.iterdir()] == [".npz"]


def test_keys_do_not_mix():
    cached("a", lambda: {"x": np.zeros(1)})
    assert cached("b", lambda: {"x": np.ones(1)})["x"] == 1


@pytest.mark.parametrize("position", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_a_damaged_file_is_made_again(cache_directory, position):
    make = Maker()
    cached("a", make)
    (file,) = cache_directory.iterdir()
    data = bytearray(file.read_bytes())
    data[int(position * len(data))] ^= 0xFF
    file.write_bytes(data)
    assert_made(cached("a", make))


@pytest.mark.parametrize("keep", [0, 1, 500, 1200])
def test_a_file_cut_off_is_made_again(cache_directory, keep):
    make = Maker()
    cached("a", make)
    (file,) = cache_directory.iterdir()
    file.write_bytes(file.read_bytes()[:keep])
    assert_made(cached("a", make))
    assert make.calls == 2
    assert_made(cached("a", make))
    assert make.calls == 2


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "file"))
    make = Maker()
    assert_made(cached("a", make))
    assert_made(cached("a", make))
    assert make.calls == 2


def test_a_failed_write_leaves_nothing_behind(cache_directory, monkeypatch):
    def full(source, target):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert_made(cached("a", Maker()))
    assert list(cache_directory.iterdir()) == []


def test_what_making_raises_is_raised():
    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cached("a", fail)


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", "/somewhere")
    assert str(cache_directory()) == "/somewhere"
    monkeypatch.delenv("GEN_JAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert str(cache_directory()) == "/elsewhere/gen_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert str(cache_directory()) == "/home/me/.cache/gen_jax"
