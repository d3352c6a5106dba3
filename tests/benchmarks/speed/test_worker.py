import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import speed
from benchmarks.speed.worker import Answers, one_line, serve
from benchmarks.speed.workloads import WORKLOADS


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class FakeSubject:
    def __init__(self, clock):
        self.clock, self.steps, self.watched = clock, 0, 0
        self.parameters = {"net": 7}

    def run(self, steps):
        self.steps += steps
        self.clock.now += 2.0 * steps

    def flops(self):
        return 10.0

    def disagreement(self):
        raise RuntimeError("first line\n\nadvice")

    def accelerator_peak(self):
        return 123

    def reset_accelerator_peak(self):
        self.watched += 1


class FakeSide:
    def __init__(self, clock):
        self.clock = clock

    def describe(self, device):
        return {"device": device}

    def build(self, order):
        self.order = order
        self.clock.now += 5.0
        self.subject = FakeSubject(self.clock)
        return self.subject


def conversation(*questions):
    clock = Clock()
    side, out = FakeSide(clock), io.StringIO()
    serve(Answers(side, clock), [json.dumps(question) for question in questions], out)
    return side, [json.loads(line) for line in out.getvalue().splitlines()]


def build(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.zeros((3, 4, 4, 1), np.uint8))
    where = {"images": str(path), "device": "cpu", "precision": "float32", "mode": {}}
    return {"do": "build", "workload": WORKLOADS["dcgan"].as_json(), **where}


def test_builds_with_the_first_step_and_times_the_others(tmp_path):
    side, answers = conversation(build(tmp_path), {"do": "run", "steps": 3}, {"do": "flops"})
    assert answers == [{"parameters": {"net": 7}, "seconds": 7.0}, {"seconds": 6.0}, {"value": 10.0}]
    assert side.order.workload == WORKLOADS["dcgan"]
    assert side.order.images.shape == (3, 4, 4, 1)
    assert side.subject.steps == 4


def test_what_goes_wrong_is_one_line_and_not_the_end(tmp_path):
    _, answers = conversation({"do": "run", "steps": 1}, build(tmp_path), {"do": "disagreement"}, {"do": "flops"})
    assert answers[0] == {"error": "ValueError: nothing is built yet"}
    assert answers[2] == {"error": "RuntimeError: first line"}
    assert answers[3] == {"value": 10.0}


def test_watches_for_a_new_peak(tmp_path):
    side, answers = conversation(build(tmp_path), {"do": "watch"}, {"do": "memory"})
    assert side.subject.watched == 1
    assert answers[2]["accelerator"] == 123
    assert answers[2]["process"] >= answers[2]["stepping"] > 0


def test_an_error_without_a_message_has_a_name():
    assert one_line(KeyError()) == "KeyError"


PEAKS = """
import numpy as np
from benchmarks.speed import memory

can_reset = memory.reset()
before = memory.peak()
block = np.ones(200_000_000, np.uint8)
during = memory.peak()
del block
memory.reset()
print(int(can_reset), before, during, memory.peak(), memory.resident())
"""


def test_peak_is_of_what_was_resident_since_it_was_reset():
    # A process of its own: of a large one the system may take back what has long not been used, and its peak with it.
    root = Path(speed.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True, cwd=root)
    can_reset, before, during, after, resident = map(int, done.stdout.split())
    assert during >= before + 150_000_000
    if can_reset:
        assert after < before + 50_000_000
        assert abs(resident - after) < 50_000_000
