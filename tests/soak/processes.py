"""Kills one of two processes: the launcher must end, and the restart must continue, to the same bits.

    python tests/soak/processes.py --count 5

Once in the middle of training, where every step has a collective, and once inside a save; restarted by hand and by the
launcher itself (`--restarts 1`); `count` times each.
"""

import shutil
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
from runs import Layout, Running, Watch

# With more processes than cores a step takes a tenth of a second.
STEPS = 120
CADENCE = ("--save-every", 10, "--eval-every", 40, "--log-every", 5, "--grid-samples", 16)
LAYOUTS = (Layout(2, 4), Layout(2, 1))
# A kill that was to fall inside a save, or outside all, may miss: then it is tried again, at most so often.
ATTEMPTS = 8


@dataclass
class Options:
    """What to do."""

    count: int = 5
    """Kills of each kind."""
    seed: int = 0
    """Decides everything but the timing of the machine."""
    experiment: str = "vae"
    """Name of the experiment."""
    work: Path | None = None
    """Where runs and summary.json go (default: a new temporary directory)."""


class Soak:
    """The runs of one soak and what they showed."""

    def __init__(self, options: Options):
        self.options = options
        self.work = Path(options.work or tempfile.mkdtemp(prefix="soak-processes-")).resolve()
        for name in ("runs", "compiled"):
            shutil.rmtree(self.work / name, ignore_errors=True)
            (self.work / name).mkdir(parents=True)
        self.kinds = [(s, r) for s in ("while training", "inside a save") for r in ("by hand", "by the launcher")]
        rows = [f"one of two killed {saving}, restarted {restarted}" for saving, restarted in self.kinds]
        self.report = Report("one of two processes killed", self.work, vars(options), rows)

    def run(self) -> int:
        """Everything; the exit code."""
        directory = self.work / "reference"
        with self.report.case("reference"):
            self.expected, *_ = reference(self.work, self.command(directory), directory)
            for n in range(self.options.count):
                for kind, (saving, restarted) in enumerate(self.kinds):
                    name = f"one of two killed {saving}, restarted {restarted}"
                    with self.report.case(f"{name}, number {n}"):
                        rng = np.random.default_rng((self.options.seed, n, kind))
                        layout = LAYOUTS[(n + kind) % len(LAYOUTS)]
                        self.attempts(rng, layout, saving == "inside a save", restarted == "by the launcher", name)
        return max(self.report.end(), min(self.report.counts.values()) < self.options.count)

    def command(self, directory: Path) -> list[str]:
        """The run's command, on one device."""
        return runs.training_command(
            self.options.experiment, directory, "--steps", STEPS, *CADENCE, "--reproducible"
        )  # fmt: skip

    def attempts(self, rng: np.random.Generator, layout: Layout, saving: bool, itself: bool, name: str) -> None:
        """Until a kill has fallen where it should."""
        for _ in range(ATTEMPTS):
            place = Path(tempfile.mkdtemp(dir=self.work / "runs"))
            # Once the first save is there, so that there is something to continue from.
            after, which = rng.random() * 2.0, rng.random()
            if self.attempt(place, layout, saving, itself, after, which, name):
                self.report.count(name)
                shutil.rmtree(place)
                return
        raise Failure(f"{ATTEMPTS} kills did not fall where they should")

    def attempt(
        self, place: Path, layout: Layout, saving: bool, itself: bool, after: float, which: float, name: str
    ) -> bool:
        """Kills, restarts and compares; False if the kill fell elsewhere or came too late. Raises Failure."""
        directory = place / "run"
        command = runs.in_layout(layout, self.command(directory), *(("--restarts", 1) if itself else ()))
        variables = runs.environment(self.work, layout)
        watch = Watch(directory)
        with Running(command, variables, place / "first.txt") as running:
            self.wait_until(running, lambda: runs.saved_steps(directory))
            due = time.perf_counter() + after
            self.wait_until(running, lambda: time.perf_counter() >= due and bool(watch.present()) == saving)
            members = running.members()
            if running.code is not None or not running.kill_one(which):
                return False
            killed, inside = time.perf_counter(), bool(watch.present())
            while set(members) & set(running.alive()):
                if time.perf_counter() - killed > runs.LAUNCHER_ENDS:
                    raise Failure(f"processes live {runs.LAUNCHER_ENDS:.0f} s after a kill\n{running.last_words()}")
                time.sleep(0.01)
            if not itself:
                runs.all_end(running)
                if running.code == 0:
                    raise Failure("the launcher reported success though one of its processes was killed")
            seconds = time.perf_counter() - killed
            self.report.measure("until the other process (and, without restarts, the launcher) ended", seconds)
            if itself:
                runs.expect(running, 0)
                if running.continued_after() is None:
                    raise Failure(f"the launcher's restart did not continue\n{running.last_words()}")
        if not itself:
            with Running(command, variables, place / "second.txt") as running:
                runs.expect(running, 0)
                if running.continued_after() is None:
                    raise Failure(f"the restart did not continue\n{running.last_words()}")
        must_equal(self.expected, directory)
        self.report.say(f"{name} ({layout}): ended in {seconds:.1f} s, continued, the same")
        return inside == saving

    def wait_until(self, running: Running, condition) -> None:
        """Until the condition holds or the run has ended. Raises Failure if it hangs."""
        while running.code is None and not condition():
            if running.seconds > runs.HANG:
                raise Failure(f"nothing within {runs.HANG:.0f} s; it printed last\n{running.last_words()}")
            time.sleep(0.001)


if __name__ == "__main__":
    end_tidily_on_sigterm()
    sys.exit(Soak(tyro.cli(Options, description=__doc__)).run())
