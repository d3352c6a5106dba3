"""Taking turns: two workers run the same workload alternately, and the ratios of the pairs are the figure.

Machines drift, so that two timings which are minutes apart do not compare; two of one pair do.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

PAUSE = 0.3
"""Seconds between turns: threads of the side whose turn is over wait busily for a while before they sleep."""
MOST_STEPS = 100_000


class WorkerFailed(Exception):
    """A worker could not do what it was asked; the message is its reason, in one line."""


class Runs(Protocol):
    """Whatever can take steps and say how long they took."""

    def run(self, steps: int) -> float:
        """Seconds that so many steps take."""
        ...


class Worker:
    """A side in a process of its own. A context manager: the process ends with it."""

    def __init__(self, side: str, threads: int, environment: Mapping[str, str] = {}):
        """Starts the process.

        Args:
          side: "gen_jax" or "torch".
          threads: that PyTorch may use; JAX takes what the system lets it have.
          environment: variables beside those of this process.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.worker", side, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        # Somebody has to read what it says, or it waits for that; the end is enough to know.
        self._said: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._said.extend, args=[self._process.stderr], daemon=True)
        self._listener.start()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        with self._process:
            self._process.stdin.close()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._listener.join()

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """What the worker answers.

        Raises:
          WorkerFailed: it could not, or it is no more.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            self._listener.join()
            words = [line.strip() for line in self._said if line.strip()]
            raise WorkerFailed(f"the process ended with code {code}: {words[-1] if words else 'it said nothing'}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def run(self, steps: int) -> float:
        """Seconds that so many steps take."""
        return self.ask("run", steps=steps)["seconds"]


def steps_for(seconds: float, subject: Runs) -> int:
    """How many steps take about so long. Takes a few, more each time, until they say enough."""
    steps = 1
    while True:
        taken = subject.run(steps)
        wanted = min(MOST_STEPS, max(1, round(seconds * steps / max(taken, 1e-9))))
        # The first steps after a compilation are slower, and a single short one says little.
        if taken >= seconds / 4 or steps >= MOST_STEPS:
            return wanted
        steps = min(wanted, 10 * steps)


@dataclass(frozen=True)
class Pairs:
    """Seconds a step of both sides, pair by pair.

    Attributes:
      ours: gen_jax's.
      theirs: PyTorch's.
    """

    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """PyTorch's time over gen_jax's: above 1 gen_jax is faster."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The 10th and the 90th percentile of the ratios; of few the least and the most."""
        return percentile(self.ratios, 0.1), percentile(self.ratios, 0.9)


def percentile(values: Sequence[float], share: float) -> float:
    """The value at or below which the share lies, of sorted values the nearest one outwards from their middle."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    return ordered[math.floor(position) if share < 0.5 else math.ceil(position)]


def alternate(
    ours: Runs, theirs: Runs, *, pairs: int, seconds: float, pause: Callable[[], None] = lambda: time.sleep(PAUSE)
) -> Pairs:
    """Ours, theirs, ours, theirs, …

    The first step of a turn is not timed: on some virtual machines memory that a process has given back takes seconds
    to get again after a rest, and who trains does not rest.

    Args:
      ours: gen_jax's side, with its first step behind it.
      theirs: PyTorch's.
      pairs: of turns.
      seconds: that a turn is to take.
      pause: between turns.
    """
    steps = []
    for subject in (ours, theirs):
        steps.append(steps_for(seconds, subject))
        pause()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for subject, number, found in zip((ours, theirs), steps, times, strict=True):
            subject.run(1)
            found.append(subject.run(number) / number)
            pause()
    return Pairs(*times)


def alone(subject: Runs, *, seconds: float, turns: int = 3) -> float:
    """Seconds a step of a subject that has no other beside it: the median of a few turns, of long ones of fewer."""
    steps = steps_for(seconds, subject)
    taken: list[float] = []
    while len(taken) < turns and sum(taken) < turns * seconds:
        taken.append(subject.run(steps))
    return statistics.median(taken) / steps
