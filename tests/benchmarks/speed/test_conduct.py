import contextlib
import dataclasses

import pytest

from benchmarks.speed import conduct, measuring
from benchmarks.speed.conduct import Rules, compare
from benchmarks.speed.measuring import WorkerFailed
from benchmarks.speed.torch_modes import modes
from benchmarks.speed.workloads import WORKLOADS

RULES = Rules("cpu", "float32", pairs=3, seconds=1.0)
SAME = {"generator": 10, "discriminator": 20}


class FakeWorker:
    """Answers as a worker would, by the mode that it was asked to build."""

    def __init__(self, side, machine):
        self.side, self.machine, self.mode = side, machine, None

    def ask(self, do, **details):
        self.machine.asked.append((self.side, do, details.get("mode", {}).get("name")))
        if do == "build":
            self.mode = details["mode"]["name"] if self.side == "torch" else "gen_jax"
            if self.mode in self.machine.unable:
                raise WorkerFailed("RuntimeError: cannot")
            parameters = self.machine.parameters[self.side]
            first = 40.0 if (self.side, self.mode) not in self.machine.built else 4.0
            self.machine.built.add((self.side, self.mode))
            return {"parameters": parameters, "seconds": first}
        if do == "memory":
            return {"stepping": 100, "process": 200, "taken": 50, "accelerator": self.machine.accelerator}
        if do in self.machine.unable:
            raise WorkerFailed("RuntimeError: cannot")
        return {"flops": {"value": 1e9 if self.mode == "eager" else None}, "disagreement": {"value": 1e-7}}.get(do, {})

    def run(self, steps):
        return steps * self.machine.times[self.mode]


class FakeMachine:
    """Starts fake workers, and counts how many are alive."""

    def __init__(self, times, unable=(), theirs=SAME, accelerator=None):
        self.times, self.unable, self.accelerator = times, unable, accelerator
        self.parameters = {"gen_jax": SAME, "torch": theirs}
        self.alive, self.most, self.asked, self.built, self.pages = 0, 0, [], set(), []

    @contextlib.contextmanager
    def __call__(self, side, huge_pages=False):
        self.pages.append((side, huge_pages))
        self.alive += 1
        self.most = max(self.most, self.alive)
        yield FakeWorker(side, self)
        self.alive -= 1


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(measuring.time, "sleep", lambda seconds: None)


ALL = [mode.name for mode in modes(convolutional=True, trains=True, accelerator=False)]
TIMES = {"gen_jax": 0.1, **dict.fromkeys(ALL, 0.4), "compiled, channels last": 0.15}


def test_best_mode_is_paired_and_the_others_are_kept(tmp_path):
    machine = FakeMachine(TIMES)
    found = compare(machine, WORKLOADS["dcgan"], tmp_path, RULES)
    assert found.mode == "compiled, channels last"
    assert found.pairs.ratios == pytest.approx([1.5] * 3)
    assert [one.mode for one in found.tried] == ALL
    assert found.tried[0].cost.step == pytest.approx(0.4)
    assert found.parameters == 30
    assert found.examples == 64
    assert found.flops == 1e9


def test_no_more_than_two_workers_live_at_once(tmp_path):
    machine = FakeMachine(TIMES)
    compare(machine, WORKLOADS["dcgan"], tmp_path, RULES)
    assert machine.most == 2
    assert machine.alive == 0


def test_first_steps_are_told_cold_and_cached(tmp_path):
    found = compare(FakeMachine(TIMES), WORKLOADS["dcgan"], tmp_path, RULES)
    assert (found.ours.first, found.ours.again) == (40.0, 4.0)
    assert (found.theirs.first, found.theirs.again) == (40.0, 4.0)


def test_what_is_compiled_is_checked_against_eager_once(tmp_path):
    machine = FakeMachine(TIMES)
    found = compare(machine, WORKLOADS["dcgan"], tmp_path, RULES)
    assert {one.mode: one.disagreement for one in found.tried if one.disagreement is not None} == {"compiled": 1e-7}


def test_a_mode_that_pytorch_does_not_have_is_told_with_its_reason(tmp_path):
    machine = FakeMachine(TIMES, unable=[name for name in ALL if name.startswith("compiled")])
    found = compare(machine, WORKLOADS["wgan_gp"], tmp_path, RULES)
    assert found.mode in ("eager", "eager, channels last")
    assert {one.reason for one in found.tried if one.cost is None} == {"not supported: RuntimeError: cannot"}


def test_what_cannot_be_counted_or_checked_leaves_the_timing_as_it_is(tmp_path):
    found = compare(FakeMachine(TIMES, unable=["flops", "disagreement"]), WORKLOADS["dcgan"], tmp_path, RULES)
    assert all(one.cost is not None for one in found.tried)
    assert found.flops is None
    assert {one.mode: one.reason for one in found.tried}["compiled"] == "disagreement: RuntimeError: cannot"


def test_networks_of_other_sizes_are_not_compared(tmp_path):
    machine = FakeMachine(TIMES, theirs={"generator": 10, "discriminator": 21})
    with pytest.raises(WorkerFailed, match="the networks differ"):
        compare(machine, WORKLOADS["dcgan"], tmp_path, RULES)


def test_pytorchs_best_mode_is_tried_with_huge_pages_too(tmp_path):
    rules = dataclasses.replace(RULES, huge_pages=True)
    times = {**TIMES, "compiled, channels last, huge pages": 0.12}
    machine = FakeMachine(times)
    found = compare(machine, WORKLOADS["dcgan"], tmp_path, rules)
    assert [one.mode for one in found.tried] == [*ALL, "compiled, channels last, huge pages"]
    assert found.mode == "compiled, channels last, huge pages"
    # PyTorch has them in that mode alone, tried and paired; gen_jax is run as a plain command.
    assert machine.pages.count(("torch", True)) == 2
    assert machine.pages.count(("torch", False)) == len(ALL)
    assert ("gen_jax", True) not in machine.pages
    slower = FakeMachine({**times, "compiled, channels last, huge pages": 0.2})
    assert compare(slower, WORKLOADS["dcgan"], tmp_path, rules).mode == "compiled, channels last"


def test_nothing_that_works_is_a_failure(tmp_path):
    with pytest.raises(WorkerFailed, match="RuntimeError: cannot"):
        compare(FakeMachine(TIMES, unable=ALL), WORKLOADS["dcgan"], tmp_path, RULES)


def test_accelerators_peak_is_taken_where_there_is_one(tmp_path):
    assert compare(FakeMachine(TIMES), WORKLOADS["dcgan"], tmp_path, RULES).ours.stepping == 100
    assert compare(FakeMachine(TIMES, accelerator=7), WORKLOADS["dcgan"], tmp_path, RULES).ours.stepping == 7


def test_quick_tries_the_plain_modes_alone(tmp_path):
    machine = FakeMachine(TIMES)
    found = compare(machine, WORKLOADS["dcgan"], tmp_path, Rules("cpu", "float32", 2, 0.5, quick=True))
    assert [one.mode for one in found.tried] == ["eager", "compiled"]
    assert "disagreement" not in {do for _, do, _ in machine.asked}


def test_modes_are_those_that_can_matter():
    def names(**facts):
        return [mode.name for mode in modes(**facts)]

    assert names(convolutional=False, trains=True, accelerator=False) == ["eager", "compiled", "compiled, Adam too"]
    assert names(convolutional=False, trains=False, accelerator=False) == ["eager", "compiled"]
    assert "eager, channels last" in names(convolutional=True, trains=False, accelerator=False)
    assert "compiled, reduce-overhead, channels last" in names(convolutional=True, trains=True, accelerator=True)


def test_ceiling_is_the_best_of_the_turns():
    machine = FakeMachine({None: 0.5})
    rules = Rules("gpu", "bfloat16", pairs=2, seconds=1.0)
    assert conduct.ceiling(machine, rules) == pytest.approx({"gen_jax": 4 * 8192**3, "PyTorch": 4 * 8192**3})
