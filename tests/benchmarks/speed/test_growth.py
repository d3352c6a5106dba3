import contextlib
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.speed import growth, measuring
from benchmarks.speed.conduct import Rules
from benchmarks.speed.growth import AXES, Curve, curve, draw, exponent, table, with_side, with_width
from benchmarks.speed.measuring import WorkerFailed
from benchmarks.speed.workloads import WORKLOADS, Workload
from gen_jax.errors import ConfigError


def test_exponent_is_that_of_the_power():
    values = [1.0, 2.0, 8.0]
    assert exponent(values, [3 * v**1.5 for v in values]) == pytest.approx(1.5)
    assert exponent(values, [5.0] * 3) == pytest.approx(0.0)
    assert np.isnan(exponent([1.0], [2.0]))


def test_workloads_are_scaled_in_what_grows_alone():
    dcgan, vae, ddpm = (WORKLOADS[name] for name in ("dcgan", "vae_mlp", "ddpm_small"))
    assert with_side(dcgan, 4096).shape == (64, 64, 1)
    assert with_width(dcgan, 0.5).method.width == 32
    assert with_width(vae, 2).method.features == (1024,)
    assert with_width(ddpm, 4).method.channels == 128
    assert AXES["batch"].scaled(dcgan, 8).batch_size == 8
    assert AXES["images"].scaled(dcgan, 1000).images == 1000


class FakeWorker:
    """A step takes a millisecond and 2 an image; larger batches than 64 do not fit."""

    def ask(self, do, **details):
        if do == "build":
            self.workload = Workload.from_json(details["workload"])
            assert np.load(details["images"]).shape == (self.workload.images, *self.workload.shape)
            if self.workload.batch_size > 64:
                raise WorkerFailed("out of memory")
        taken = 1_000_000 * self.workload.batch_size if do == "memory" else None
        return {"taken": taken, "accelerator": None}

    def run(self, steps):
        return steps * (0.001 + 0.002 * self.workload.batch_size)


def test_curve_is_per_image_and_leaves_out_what_does_not_fit(monkeypatch):
    said = []
    rules = Rules("cpu", "float32", 1, 0.1)
    found = curve(lambda side: contextlib.nullcontext(FakeWorker()), WORKLOADS["dcgan"], "batch", rules, said.append)
    assert found.values == (8, 16, 32, 64)
    assert found.seconds == pytest.approx([0.002 + 0.001 / n for n in found.values])
    assert found.bytes == pytest.approx([1e6] * 4)
    assert said[-1] == "dcgan, images in a batch 256: out of memory"


CURVES = [
    Curve("dcgan", axis, AXES[axis].values, [0.01 * v for v in AXES[axis].values], [1e6] * len(AXES[axis].values))
    for axis in AXES
]


def test_table_tells_the_exponents():
    shown = table([*CURVES, Curve("vae_mlp", "batch", (), (), ())])
    assert [row[4:6] for row in shown.rows[:4]] == [["+1.00", "+0.00"]] * 4
    assert shown.rows[0][2:4] == ["8", "256"]
    assert shown.rows[4][2:] == ["-"] * 6


def test_plot_is_a_picture(tmp_path):
    path = tmp_path / "images" / "growth.png"
    draw(CURVES, path)
    with Image.open(path) as picture:
        assert picture.size == (1200, 840)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 50


def test_what_was_found_is_stored_and_shown_with_the_command(tmp_path, monkeypatch):
    class Worker:
        def ask(self, question, **given):
            return {"version": "1.2"}

    monkeypatch.setattr(growth.conduct, "starter", lambda *_: lambda side: contextlib.nullcontext(Worker()))
    monkeypatch.setattr(growth.machine, "describe", lambda sides, threads: {"jax": sides["gen_jax"]["version"]})
    monkeypatch.setattr(growth, "curve", lambda start, workload, axis, rules, say: CURVES[list(AXES).index(axis)])
    docs = tmp_path / "performance.md"
    docs.write_text("# Performance\n")
    out, plot = tmp_path / "growth.json", tmp_path / "growth.png"
    options = growth.Options(workloads="vae_mlp", axes="batch,width", out=out, docs=docs, plot=plot)
    growth.main(options, "python -m benchmarks.speed growth --axes batch,width")
    assert [curve["axis"] for curve in json.loads(out.read_text())["curves"]] == ["batch", "width"]
    assert plot.is_file()
    lines = docs.read_text().splitlines()
    assert "- jax: 1.2" in lines
    assert "- command: `python -m benchmarks.speed growth --axes batch,width`" in lines
    assert sum(line.startswith("| dcgan |") for line in lines) == 2


def test_a_wrong_axis_is_named_by_its_flag():
    with pytest.raises(ConfigError, match=r"--axes has 'batches'; the nearest is 'batch'; accepted: batch, pixels"):
        growth.chosen_axes("batches")


def test_pauses_belong_to_pairs_alone(monkeypatch):
    def never(seconds):
        raise AssertionError

    monkeypatch.setattr(measuring.time, "sleep", never)
    assert growth.alone(FakeRuns(), seconds=0.1) == pytest.approx(0.01)


class FakeRuns:
    def run(self, steps):
        return 0.01 * steps
