"""Tells runs to stop, at random moments, as a cluster does: nothing of what was computed may be lost.

    python tests/soak/preemptions.py --count 50

A chain is one run: preempted, continued, preempted again, and in the end let finish and compared with an unbroken one.
"""

import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import runs
import tyro
from artefacts import must_equal, reference
from report import Failure, Report, end_tidily_on_sigterm
from runs import Layout, Running

# Long enough that most signals fall between saves; every step is printed, so that a lost one can be seen.
STEPS = 1500
CADENCE = ("--save-every", 200, "--eval-every", 150, "--log-every", 1, "--grid-samples", 16)
PREEMPTIONS_IN_A_CHAIN = (3, 8)
# How often a signal comes at any moment of the start-up instead, where it may also just end the process.
EARLY = 0.15
STOPS = 60.0

PREEMPTED, UNSTARTED, COMPARED = "SIGTERMs after the first step", "SIGTERMs before the first step", "runs compared"
LATENCY = "from SIGTERM to exit"


@dataclass
class Options:
    """What to do."""

    count: int = 50
    """SIGTERMs after the first step, at least."""
    seed: int = 0
    """Decides everything but the timing of the machine."""
    experiment: str = "vae"
    """Name of the experiment."""
    several: float = 0.15
    """Share of restarts as two processes of four devices each."""
    work: Path | None = None
    """Where runs and summary.json go (default: a new temporary directory)."""
    reproducible: bool = True
    """Runs are started with --reproducible; without, use --several 0."""


class Soak:
    """The runs of one soak and what they showed."""

    def __init__(self, options: Options):
        self.options = options
        self.work = Path(options.work or tempfile.mkdtemp(prefix="soak-preemptions-")).resolve()
        for name in ("chains", "compiled"):
            shutil.rmtree(self.work / name, ignore_errors=True)
            (self.work / name).mkdir(parents=True)
        rows = (PREEMPTED, *(f"  {layout}" for layout in ("1x1", "2x4")), UNSTARTED, COMPARED, "steps lost")
        self.report = Report("SIGTERMs", self.work, vars(options), rows)

    def run(self) -> int:
        """Everything; the exit code."""
        directory = self.work / "reference"
        with self.report.case("reference"):
            self.expected, self.startup, self.total = reference(self.work, self.command(directory), directory)
            self.report.say(f"reference: first step at {self.startup:.1f} s of {self.total:.1f}")
            number = 0
            # A chain may fail before it counts anything, so there is an end to them.
            while self.report.counts[PREEMPTED] < self.options.count and number < self.options.count:
                with self.report.case(f"chain {number}"):
                    self.chain(number)
                number += 1
        return max(self.report.end(), self.report.counts[PREEMPTED] < self.options.count)

    def command(self, directory: Path) -> list[str]:
        """The run's command, on one device."""
        extra = ("--reproducible",) if self.options.reproducible else ()
        steps = ("--steps", STEPS)
        return runs.training_command(self.options.experiment, directory, *steps, *CADENCE, *extra)

    def chain(self, number: int) -> None:
        """One run, stopped several times, finished and compared. Raises Failure."""
        rng = np.random.default_rng((self.options.seed, number))
        place = self.work / "chains" / f"{number:04}"
        place.mkdir()
        directory = place / "run"
        links = int(rng.integers(*PREEMPTIONS_IN_A_CHAIN, endpoint=True))
        for link in range(links):
            layout = Layout(2, 4) if rng.random() < self.options.several else runs.ONE
            early, moment = rng.random(2)
            if self.report.counts[PREEMPTED] >= self.options.count:
                break
            output = place / f"{link:02}.txt"
            command = runs.in_layout(layout, self.command(directory))
            before = max(runs.saved_steps(directory), default=None)
            with Running(command, runs.environment(self.work, layout), output) as running:
                if early < EARLY:
                    time.sleep(moment * self.startup)
                elif running.wait_for_step():
                    # Of a run that is preempted again and again each time a third of the rest at most.
                    time.sleep(moment / 3 * (1 - (before or 0) / self.expected.step) * (self.total - self.startup))
                finished = self.stop(running, directory, before, layout)
            if finished:
                break
        with Running(self.command(directory), runs.environment(self.work, runs.ONE), place / "finish.txt") as running:
            newest = max(runs.saved_steps(directory), default=None)
            runs.expect(running, 0)
            self.must_continue(running, newest)
        must_equal(self.expected, directory)
        self.report.count(COMPARED)
        self.report.say(f"chain {number}: the same")
        shutil.rmtree(place)

    def stop(self, running: Running, directory: Path, before: int | None, layout: Layout) -> bool:
        """SIGTERM, and whether what follows is right; True if the run had come to its end already. Raises Failure."""
        step, sent = running.last_step(), time.perf_counter()
        running.send(signal.SIGTERM)
        code = running.wait(STOPS)
        seconds = time.perf_counter() - sent
        if code is None:
            raise Failure(f"no end within {STOPS:.0f} s of SIGTERM; it printed last\n{running.last_words()}")
        if left := running.alive():
            raise Failure(f"it ended and left processes {left} behind")
        if code == 0:
            return True
        died = (-signal.SIGTERM, 128 + signal.SIGTERM)
        if code != 75 and not (step is None and code in died):
            raise Failure(f"exit code {code} after SIGTERM at step {step}; it printed last\n{running.last_words()}")
        newest, done = max(runs.saved_steps(directory), default=None), running.last_step()
        self.must_continue(running, before)
        if step is None:
            self.report.count(UNSTARTED)
            self.report.say(f"SIGTERM before the first step in {layout}: exit code {code} after {seconds:.2f} s")
            return False
        if newest is None or newest < done:
            self.report.count("steps lost")
            raise Failure(f"step {done} was done, but the newest saved is {newest}")
        said = [int(found) for found in re.findall(r"preempted after step (\d+)", running.text())]
        if said and said[-1] != newest:
            raise Failure(f"it says that it stopped after step {said[-1]}, but the newest saved is {newest}")
        self.report.count(PREEMPTED, f"  {layout}")
        self.report.measure(LATENCY, seconds)
        counts = f"{self.report.counts[PREEMPTED]} SIGTERMs"
        self.report.say(f"{counts}: at step {step} in {layout}, saved step {newest}, ended in {seconds:.2f} s")
        return False

    def must_continue(self, running: Running, newest: int | None) -> None:
        """Raises Failure if a run that got as far as saying so did not continue after the newest saved step."""
        found = running.continued_after()
        if found != newest and (found is not None or running.last_step() is not None):
            raise Failure(f"it continued after step {found}, though {newest} was saved")


if __name__ == "__main__":
    end_tidily_on_sigterm()
    sys.exit(Soak(tyro.cli(Options, description=__doc__)).run())
