"""One side in a process of its own: reads a question a line from its standard input, and writes an answer a line.

    {"do": "describe"}                          -> {"version": …, "device": …}
    {"do": "build", "workload": …, …}           -> {"parameters": {…}, "seconds": …}: with the first step
    {"do": "run", "steps": 10}                  -> {"seconds": …}: from the first of them until the last is done
    {"do": "watch"}                             -> {}: begins to watch for a new peak of memory
    {"do": "memory"}                            -> {"stepping": …, "process": …, "taken": …}: bytes
    {"do": "flops"}, {"do": "disagreement"}     -> {"value": …}

What goes wrong is an answer {"error": …} of one line. While nobody asks it waits for a line, which costs nothing.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import numpy as np

from benchmarks.speed import memory
from benchmarks.speed.subject import Order, Side, Subject
from benchmarks.speed.workloads import Workload

SIDES = {"gen_jax": "benchmarks.speed.gen_jax_side", "torch": "benchmarks.speed.torch_side"}


class Answers:
    """What a worker knows how to do; its public methods are the questions."""

    def __init__(self, side: Side, clock: Callable[[], float] = time.perf_counter):
        """`clock` tells seconds."""
        self._side, self._clock = side, clock
        self._subject: Subject | None = None
        self._before = memory.resident()
        self._most = 0

    def describe(self, device: str) -> dict[str, Any]:
        """What the side finds here."""
        return self._side.describe(device)

    def build(
        self, workload: dict[str, Any], images: str, device: str, precision: str, mode: dict[str, Any]
    ) -> dict[str, Any]:
        """Builds a workload on the images in a file, and takes its first step."""
        self._before = memory.resident()
        array = np.load(images)
        begun = self._clock()
        subject = self._side.build(Order(Workload.from_json(workload), array, device, precision, mode))
        return self._first(subject, begun)

    def product(self, size: int, device: str, precision: str) -> dict[str, Any]:
        """Builds a product of matrices, and computes it once."""
        begun = self._clock()
        return self._first(self._side.product(size, device, precision), begun)

    def run(self, steps: int) -> dict[str, float]:
        """Times so many steps."""
        begun = self._clock()
        self._ready.run(steps)
        return {"seconds": self._clock() - begun}

    def watch(self) -> dict[str, Any]:
        """Begins to watch for a new peak of memory."""
        self._most = max(self._most, memory.peak())
        self._ready.reset_accelerator_peak()
        return {"reset": memory.reset()}

    def memory(self) -> dict[str, int | None]:
        """Bytes: the peak while stepping, the whole process's, what the workload added, and the accelerator's."""
        peak = memory.peak()
        return {
            "stepping": peak,
            "process": max(self._most, peak),
            "taken": max(peak - self._before, 0),
            "accelerator": self._ready.accelerator_peak(),
        }

    def flops(self) -> dict[str, float | None]:
        """Of one step."""
        return {"value": self._ready.flops()}

    def disagreement(self) -> dict[str, float | None]:
        """From the plain way of running."""
        return {"value": self._ready.disagreement()}

    @property
    def _ready(self) -> Subject:
        if self._subject is None:
            raise ValueError("nothing is built yet")
        return self._subject

    def _first(self, subject: Subject, begun: float) -> dict[str, Any]:
        subject.run(1)
        self._subject = subject
        return {"parameters": subject.parameters, "seconds": self._clock() - begun}


def serve(answers: Answers, questions: Iterable[str], out: TextIO) -> None:
    """Answers until there are no more questions."""
    for line in questions:
        question = json.loads(line)
        try:
            answer = getattr(answers, question.pop("do"))(**question)
        # Whatever it was, the other side and the other workloads can still be measured.
        except Exception as error:
            answer = {"error": one_line(error)}
        print(json.dumps(answer), file=out, flush=True)


def one_line(error: BaseException) -> str:
    """The first line of what went wrong, without the advice that follows it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def main() -> None:
    """`python -m benchmarks.speed.worker SIDE THREADS`."""
    side, threads = sys.argv[1], int(sys.argv[2])
    # What libraries print does not belong among the answers.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if side == "torch":
        import torch

        torch.set_num_threads(threads)
    module: Any = importlib.import_module(SIDES[side])
    serve(Answers(module), sys.stdin, out)


if __name__ == "__main__":
    main()
