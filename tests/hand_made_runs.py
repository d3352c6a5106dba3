"""Run directories that are written by hand: what a training and an evaluation leave behind, without either."""

import dataclasses
import importlib
import json

from gen_jax.config import as_json
from gen_jax.metrics.score import Score

DIGITS = {
    "name": "digits",
    "shape": [8, 8, 1],
    "class_names": list("0123456789"),
    "train_size": 1438,
    "held_out_size": 359,
    "fingerprint": "0123456789abcdef",
}


def write_run(path, *, experiment="vae", lines=(), scores=(), data=DIGITS, **fields):
    """Writes a run of an experiment whose configuration is that of its preset `tiny`, apart from `fields`."""
    module = f"experiments.{experiment}"
    tiny = importlib.import_module(module).EXPERIMENT.presets["tiny"]
    path.mkdir(parents=True)
    stored = {
        "experiment": {"module": module, "file": ""},
        "config": as_json(dataclasses.replace(tiny, data=data["name"], run_dir=str(path), **fields)),
        "data": data,
        "versions": {"python": "3.11.7"},
    }
    (path / "config.json").write_text(json.dumps(stored))
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if scores:
        (path / "scores.jsonl").write_text("".join(json.dumps(score.as_json()) + "\n" for score in scores))
    return path


def curve(split, name, values, every=10):
    """Lines of a metric at steps 10, 20, …"""
    return [{"step": every * (i + 1), "split": split, name: value} for i, value in enumerate(values)]


def fid(value, step=20, samples=10_000, interval=None, **protocol):
    """A score."""
    return Score("fid", "FID", float(value), "smaller", step, {"samples": samples, **protocol}, interval)
