"""A small share of the soak of kills: see tests/soak/kills.py and `make soak`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))

import kills
import pytest

pytestmark = pytest.mark.slow


def test_a_run_that_is_killed_three_times_ends_as_one_that_was_not(tmp_path, monkeypatch):
    # Three kills of one run, which is a short one.
    for name, value in {"KILLS_IN_A_CHAIN": (3, 3), "UNCOMPILED": 0.0, "SAVES_AHEAD": 1, "STEPS": {"vae": 24}}.items():
        monkeypatch.setattr(kills, name, value)
    options = kills.Options(kills=3, inside_save=1, experiments=("vae",), layouts=("1x1",), work=tmp_path)
    code = kills.Soak(options).run()
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["failures"] == []
    assert code == 0
    assert found["counts"][kills.KILLS] >= 3
    assert found["counts"][kills.INSIDE] >= 1
    assert found["counts"][kills.COMPARED] >= 1
