import dataclasses

import pytest

from gen_jax.config import Config
from gen_jax.errors import ConfigError
from gen_jax.preflight.advice import Advice, candidates, confirmed
from gen_jax.preflight.compiled import Memory, OutOfMemory
from gen_jax.preflight.report import Preflight, ProgramReport
from gen_jax.preflight.topology import parse_topology


def result(config, total):
    memory = Memory(total, 0, 0, 0, 0) if total <= 100 else None
    trouble = None if total <= 100 else OutOfMemory(total, 100)
    program = ProgramReport("train", "train step", 1, memory, trouble, None, (), 0.0, None, None, 0.0)
    return Preflight("toy", "digits", True, config, parse_topology("v5e:2x4"), 8, "TPU", 100, {}, (program,))


def test_what_changes_nothing_comes_before_rounding_and_that_before_the_batch():
    order = candidates(Config(batch_size=4096), 1.5, state_share=0.01, devices=256)
    assert order[:4] == [{"remat": True}, {"accumulate": 2}, {"accumulate": 4}, {"accumulate": 8}]
    assert {"remat": True, "accumulate": 2} in order
    first = {name: min(i for i, change in enumerate(order) if name in change) for name in ("precision", "batch_size")}
    assert max(i for i, change in enumerate(order) if set(change) <= {"remat", "accumulate"}) < first["precision"]
    assert first["precision"] < first["batch_size"]
    assert all("fsdp" not in change for change in order)
    assert len({str(change) for change in order}) == len(order)


def test_a_large_state_is_split_first():
    order = candidates(Config(batch_size=4096), 1.5, state_share=0.5, devices=256)
    assert order[:2] == [{"fsdp": 8}, {"fsdp": 64}]
    assert {"fsdp": 64} not in candidates(Config(), 1.5, state_share=0.5, devices=8)


def test_what_is_set_already_is_not_proposed():
    order = candidates(Config(precision="bfloat16", remat=True, batch_size=24), 1.5, state_share=0.0, devices=4)
    assert all("remat" not in change and "precision" not in change for change in order)
    assert [change["batch_size"] for change in order if "batch_size" in change] == [12, 6, 4]


def test_the_more_is_missing_the_more_is_cut():
    config = Config(batch_size=4096, accumulate=2)
    parts = [change["accumulate"] for change in candidates(config, 5.0, 0.0, 8) if "accumulate" in change]
    assert (min(parts), max(parts)) == (16, 64)
    # Not beyond an example a device.
    few = [change["accumulate"] for change in candidates(Config(batch_size=32), 5.0, 0.0, 8) if "accumulate" in change]
    assert set(few) == {4}
    assert not any("accumulate" in change for change in candidates(Config(batch_size=8), 5.0, 0.0, 8))


def test_only_what_was_compiled_and_fits_is_advised():
    config = Config()
    totals = {"remat": 120, "accumulate": 90, "precision": 80}
    compiled = []

    def compile_with(change):
        compiled.append(change)
        if "fsdp" in change:
            raise ConfigError("does not apply")
        return result(dataclasses.replace(config, **change), min(totals[name] for name in change))

    changes = [
        {"fsdp": 8},
        {"remat": True},
        {"accumulate": 2},
        {"accumulate": 2, "remat": True},
        {"precision": "bfloat16"},
        {"batch_size": 8},
    ]
    found = confirmed(changes, compile_with)
    # More than is enough is not tried, and after two that fit nothing is.
    assert compiled == [*changes[:3], changes[4]]
    assert [(one.flags, one.memory) for one in found] == [("--accumulate 2", 90), ("--precision bfloat16", 80)]


@pytest.mark.parametrize("tries", [1, 3])
def test_it_gives_up_after_some_tries(tries):
    config = Config()
    compiled = []

    def compile_with(change):
        compiled.append(change)
        return result(config, 1000)

    changes = [{"accumulate": parts} for parts in (2, 4, 8, 16)]
    assert confirmed(changes, compile_with, tries=tries) == []
    assert compiled == changes[:tries]


def test_advice_is_typed_as_flags():
    change = {"remat": True, "batch_size": 64, "precision": "bfloat16"}
    assert Advice(change, result(Config(), 1)).flags == "--remat --batch-size 64 --precision bfloat16"
