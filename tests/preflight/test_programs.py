import dataclasses

import jax
import numpy as np
import pytest
import toy_experiment

from gen_jax.data import Split
from gen_jax.errors import ConfigError
from gen_jax.preflight import data as module
from gen_jax.preflight.data import described
from gen_jax.preflight.programs import PARTS, Setting, applies
from gen_jax.run.setup import initial_state
from gen_jax.run.train import TrainingRun
from gen_jax.training import keys
from gen_jax.training import program as training_program

CONFIG = toy_experiment.EXPERIMENT.presets["default"]


def setting(config=CONFIG, dataset=None, devices=None):
    dataset = described(config) if dataset is None else dataset
    return Setting(toy_experiment.EXPERIMENT, config, dataset, jax.devices() if devices is None else devices)


class Dispatched(Exception):
    """In place of running a program: what it was called with."""

    def __init__(self, args, static):
        self.args, self.static = args, static


def stop(*args, **static):
    raise Dispatched(args, static)


def text_of_step(monkeypatch, program, state):
    """The program that `advance` would compile with its real arguments."""
    monkeypatch.setattr(training_program, "compiled_together", stop)
    with pytest.raises(Dispatched) as caught:
        program.advance(state, 0, 1)
    (lowered,) = caught.value.args
    return lowered.as_text()


def text_of(compiled_together, call):
    """The program that `call` would dispatch with its real arguments."""
    jitted, compiled_together._jitted = compiled_together._jitted, stop
    with pytest.raises(Dispatched) as caught:
        call()
    return jitted.lower(*caught.value.args, **caught.value.static).as_text()


@pytest.fixture(params=["resident", "streamed", "split", "reproducible", "accumulated", "rematerialised"])
def run(request, tmp_path, monkeypatch):
    """A run of the toy on eight devices, ready to be trained, and what preflight makes of its configuration."""
    changes = {
        "split": {"fsdp": 2, "data": "digits"},
        "reproducible": {"reproducible": True},
        "accumulated": {"accumulate": 2},
        "rematerialised": {"remat": True},
    }
    config = dataclasses.replace(CONFIG, run_dir=str(tmp_path), **changes.get(request.param, {}))
    from rich.console import Console

    trained = TrainingRun(toy_experiment.EXPERIMENT, config, Console(quiet=True))
    if request.param == "streamed":
        monkeypatch.setattr(module, "MEMORY_LIMIT", 0)
        arrays = trained.dataset.train.arrays
        split = Split(len(arrays["x"]), read=lambda rows: {name: array[rows] for name, array in arrays.items()})
        trained.dataset = dataclasses.replace(trained.dataset, train=split)
    return trained, setting(config, trained.dataset)


@pytest.mark.slow
def test_programs_are_those_that_training_dispatches(run, monkeypatch):
    trained, found = run
    assert found.resident == (trained.dataset.train.arrays is not None)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, trained.setup.wanted)
    make = jax.jit(lambda key: initial_state(trained.setup.game, trained.info, key), out_shardings=shardings)
    state = make(jax.random.key(0))
    program = trained.setup.program(trained.setup.source(trained.dataset.train, 0))
    examiner = trained.examiner
    try:
        assert found.lower_train().as_text() == text_of_step(monkeypatch, program, state)
        chunk = examiner.sampler.chunk
        key = keys.derive(jax.random.key(0), "sample")
        drawn = text_of(examiner.sampler._sample, lambda: examiner.sampler(state, key, chunk))
        assert found.lower_sample().as_text() == drawn
        judged = text_of(examiner.evaluator._metrics, lambda: examiner.evaluator(state))
        assert found.lower_evaluate().as_text() == judged
    finally:
        program.source.close()


def test_many_steps_are_one_dispatch_where_devices_are_no_cpus():
    found = setting()
    found.program.loop = True
    assert "while" in found.lower_train().as_text()
    assert found.lower_train().compile().as_text().startswith("HloModule jit__steps")


def test_examples_are_those_of_one_run():
    found = setting()
    assert {name: part.examples(found) for name, part in PARTS.items()} == {"train": 16, "sample": 256, "evaluate": 16}
    assert setting(dataclasses.replace(CONFIG, batch_size=20), devices=jax.devices()[:4]).examiner.batch_size == 24


def test_what_a_method_does_not_have_is_left_out():
    assert applies("evaluate", setting().game)
    assert not applies("evaluate", dataclasses.replace(setting().game, evaluate=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 12}, "--batch-size is 12; accepted: a multiple of the 8 devices"),
        ({"batch_size": 200_000}, "--batch-size is 200000; accepted: at most 100000"),
        ({"fsdp": 3}, "--fsdp is 3; accepted: a number that divides the 8 devices"),
        ({"batch_size": 24, "accumulate": 2}, "--batch-size is 24; accepted with --accumulate 2: a multiple of 16"),
    ],
)
def test_what_does_not_divide_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        _ = setting(dataclasses.replace(CONFIG, **change)).state


def test_no_data_are_read(monkeypatch):
    def no_reading(*_):
        raise AssertionError("the data were read")

    dataset = described(CONFIG)
    unread = Split(dataset.train.size, read=no_reading)
    found = setting(dataset=dataclasses.replace(dataset, train=unread, test=unread))
    assert not np.isnan(len(found.lower_train().as_text()))
    found.lower_evaluate()
