"""A share of tests/soak/mutations.py."""

import collections
import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SPEC = importlib.util.spec_from_file_location("damage", Path(__file__).parents[1] / "soak" / "damage.py")
damage = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(damage)


def test_the_newest_intact_step_comes_back_whatever_was_done_to_the_files(tmp_path):
    damage.prepare(tmp_path)
    outcomes = [damage.mutate(tmp_path, index, seed=3) for index in range(15)]
    assert [outcome for outcome in outcomes if outcome[1] not in ("newest", "older")] == []
    # The damage was real: newer steps were found wanting, and a control that checks nothing restored wrong values.
    found = collections.Counter(ours for _, ours, _ in outcomes)
    assert found["older"] >= 5
    assert collections.Counter(plain for _, _, plain in outcomes)["wrong"] >= 3
