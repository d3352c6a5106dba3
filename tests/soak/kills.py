"""Kills runs at random moments, over and over, and compares what they end as with runs that nobody touched.

    python tests/soak/kills.py --kills 300 --inside-save 100

A chain is one run: killed, restarted in a random layout, killed again, and in the end let finish. Everything but the
timing of the machine follows from the seed.
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import runs
import tyro
from artefacts import Artefacts, must_equal
from report import Failure, Report, end_tidily_on_sigterm
from runs import Layout, Running, Watch
from timings import Timings, timed

# A run takes two to ten seconds after start-up, and saves and evaluates throughout.
STEPS = {"vae": 60, "dcgan": 60, "wgan_gp": 48, "ddpm": 24}
CADENCE = ("--save-every", 4, "--eval-every", 5, "--log-every", 3)
# Layouts of many processes start slowly where there are few cores.
WEIGHTS = {"1x1": 0.55, "1x8": 0.25, "2x4": 0.12, "4x2": 0.08}
KILLS_IN_A_CHAIN = (3, 8)
# Chains that begin without compiled programs, so that kills fall into the first compilation.
UNCOMPILED = 0.15
# An aimed kill falls this many saves after the start at most, and misses now and then.
SAVES_AHEAD = 3
AIM_SURPLUS = 1.3
# Share of kills that are aimed at the deletion of an old step, of which about every other misses.
AT_DELETIONS = 0.1

KILLS, INSIDE, SINGLE = "kills", "  inside a save", "  of one process of several"
NO_CONFIG, NO_STEP, DELETING, TRAINING = (
    "  before config.json", "  before the first step", "  deleting an old step", "  training"
)  # fmt: skip
UNTOUCHED, COMPARED = "unbroken runs compared, every layout", "killed runs finished and compared"
ALL_END = "after a kill of one process all have ended"


@dataclass
class Options:
    """What to do."""

    kills: int = 300
    """SIGKILLs in all, at least."""
    inside_save: int = 100
    """How many of them are to fall inside a save, at least."""
    seed: int = 0
    """Decides everything but the timing of the machine."""
    experiments: tuple[str, ...] = tuple(STEPS)
    """Names of experiments, taken in turn."""
    layouts: tuple[str, ...] = tuple(WEIGHTS)
    """Processes x devices."""
    jobs: int = 1
    """Chains at a time."""
    work: Path | None = None
    """Where runs and summary.json go (default: a new temporary directory)."""
    reproducible: bool = True
    """Runs are started with --reproducible; without, only one layout can be compared."""


@dataclass(frozen=True)
class Due:
    """What a kill waits for: the nth save (or deletion) from the start on, and some seconds more."""

    watch: Watch
    nth: int
    delay: float = 0.0


class Soak:
    """The runs of one soak and what they showed."""

    def __init__(self, options: Options):
        self.options = options
        self.work = Path(options.work or tempfile.mkdtemp(prefix="soak-kills-")).resolve()
        for name in ("unbroken", "chains", "compiled"):
            shutil.rmtree(self.work / name, ignore_errors=True)
            (self.work / name).mkdir(parents=True)
        self.layouts = [Layout.parse(text) for text in options.layouts]
        self.expected: dict[str, Artefacts] = {}
        # By experiment, layout and whether its programs were compiled before.
        self.unbroken: dict[tuple[str, Layout, bool], Timings] = {}
        rows = (KILLS, NO_CONFIG, NO_STEP, INSIDE, DELETING, TRAINING, SINGLE)
        counted = [f"  {name}" for name in (*options.experiments, *options.layouts)]
        self.report = Report("SIGKILLs", self.work, vars(options), (*rows, *counted, UNTOUCHED, COMPARED))
        self.stop = threading.Event()

    @property
    def done(self) -> bool:
        """Whether enough was killed."""
        counts, wanted = self.report.counts, self.options
        return self.stop.is_set() or (counts[KILLS] >= wanted.kills and counts[INSIDE] >= wanted.inside_save)

    def run(self) -> int:
        """Everything; the exit code."""
        experiments, jobs = self.options.experiments, self.options.jobs
        with ThreadPoolExecutor(jobs) as pool:
            try:
                list(pool.map(lambda experiment: self.let_be(experiment, runs.ONE, False), experiments))
                pairs = [(name, layout) for name in experiments if name in self.expected for layout in self.layouts]
                for compiled in (False, True):
                    todo = [pair for pair in pairs if (*pair, compiled) not in self.unbroken]
                    list(pool.map(lambda pair, compiled=compiled: self.let_be(*pair, compiled), todo))
                list(pool.map(self.chains, range(jobs)))
            finally:
                # Also on Ctrl-C: what runs in other threads is killed there, at the end of its context.
                self.stop.set()
        return max(self.report.end(), self.report.counts[COMPARED] == 0)

    def chains(self, job: int) -> None:
        """Chains job, job + jobs, job + 2 jobs, ... until enough was killed."""
        number = job
        while not self.done and any(any(self.tried(experiment)) for experiment in self.options.experiments):
            experiment = self.options.experiments[number % len(self.options.experiments)]
            if any(self.tried(experiment)):
                with self.report.case(f"chain {number} ({experiment})"):
                    self.chain(number, experiment)
            number += self.options.jobs

    def start(self, experiment: str, layout: Layout, directory: Path, cache: Path, output: Path) -> Running:
        """Starts, or continues, a run."""
        extra = ("--reproducible",) if self.options.reproducible else ()
        command = runs.training_command(experiment, directory, "--steps", STEPS[experiment], *CADENCE, *extra)
        return Running(runs.in_layout(layout, command), runs.environment(self.work, layout, cache), output)

    def let_be(self, experiment: str, layout: Layout, compiled: bool) -> None:
        """A run that nobody touches: the first of an experiment is what all others are compared with."""
        where = f"unbroken {experiment} {layout}{', compiled before' if compiled else ''}"
        directory = self.work / "unbroken" / f"{experiment}-{layout}-{compiled:d}"
        cache, output = self.work / "compiled", directory.with_suffix(".txt")
        with self.report.case(where):
            with self.start(experiment, layout, directory, cache, output) as running:
                times = timed(running, Watch(directory), self.stop)
            if experiment in self.expected:
                must_equal(self.expected[experiment], directory)
                self.report.count(UNTOUCHED)
            else:
                self.expected[experiment] = Artefacts.of(directory)
            self.unbroken[experiment, layout, compiled] = times
            self.report.say(
                f"{where}: first step at {times.startup:.1f} s of {times.total:.1f}, a save takes {times.save:.3f} s"
            )

    def chain(self, number: int, experiment: str) -> None:
        """One run, killed several times, finished and compared. Raises Failure."""
        rng = np.random.default_rng((self.options.seed, number))
        place = self.work / "chains" / f"{number:04}"
        place.mkdir()
        if rng.random() < UNCOMPILED:
            (place / "compiled").mkdir()
        else:
            shutil.copytree(self.work / "compiled", place / "compiled", copy_function=os.link)
        killed, planned = 0, int(rng.integers(*KILLS_IN_A_CHAIN, endpoint=True))
        while killed < planned and not self.done and self.killed_once(rng, number, experiment, place, killed):
            killed += 1
        layout, directory = self.pick_layout(rng, experiment), place / "run"
        with self.start(experiment, layout, directory, place / "compiled", place / "finish.txt") as running:
            while runs.going(running, self.stop):
                time.sleep(0.02)
            runs.expect(running, 0)
        must_equal(self.expected[experiment], directory)
        self.report.count(COMPARED)
        self.report.say(f"chain {number} {experiment}, finished in {layout} after {killed} kills: the same")
        shutil.rmtree(place)

    def killed_once(self, rng: np.random.Generator, chain: int, experiment: str, place: Path, link: int) -> bool:
        """Starts the run and kills it; False if it came to its end before. Raises Failure."""
        directory, cache = place / "run", place / "compiled"
        layout = self.pick_layout(rng, experiment)
        times = self.unbroken[experiment, layout, any(cache.iterdir())]
        # All draws are made whatever happens, so that the next ones do not depend on the timing of the machine.
        aim, moment, delay, one, which = rng.random(5)
        nth = int(rng.integers(1, SAVES_AHEAD, endpoint=True))
        share = min(0.9, AIM_SURPLUS * self.options.inside_save / max(1, self.options.kills))
        aimed = aim < share or self.report.counts[KILLS] >= self.options.kills
        newest = max(runs.saved_steps(directory), default=None)
        after = times.moment(moment, (newest or 0) / STEPS[experiment])
        saving, deleting, ended = Watch(directory), Watch(directory, runs.DELETING), None
        due = Due(saving, nth, delay * times.save) if aimed else Due(deleting, nth) if aim > 1 - AT_DELETIONS else None
        with self.start(experiment, layout, directory, cache, place / f"{link:02}.txt") as running:
            if not self.until_due(running, due, after):
                runs.expect(running, 0)
                return False
            killed_at = running.seconds
            if layout.processes > 1 and one < 0.5 and running.kill_one(which, launcher=True):
                ended = runs.all_end(running)
                self.report.measure(ALL_END, ended)
            running.kill()
            phase = self.phase(running, saving, deleting, directory)
            continued = running.continued_after()
        if continued != newest and (continued is not None or phase == TRAINING):
            raise Failure(f"restart {link} in {layout} continued after step {continued}, though {newest} was saved")
        self.report.count(KILLS, phase, f"  {experiment}", f"  {layout}", *([SINGLE] if ended is not None else []))
        counts = f"{self.report.counts[KILLS]} kills, {self.report.counts[INSIDE]} inside a save"
        how = f"all of {layout}" if ended is None else f"one process of {layout}, all ended after {ended:.1f} s"
        self.report.say(f"{counts}: chain {chain} {experiment} at {killed_at:.2f} s,{phase[1:]} ({how})")
        return True

    def tried(self, experiment: str) -> list[bool]:
        """Of each layout, whether unbroken runs in it ended as they should."""
        return [all((experiment, layout, c) in self.unbroken for c in (False, True)) for layout in self.layouts]

    def pick_layout(self, rng: np.random.Generator, experiment: str) -> Layout:
        """A layout by its weight, of those in which the experiment could be tried."""
        weights = np.array([WEIGHTS.get(str(layout), 0.1) for layout in self.layouts]) * self.tried(experiment)
        return self.layouts[rng.choice(len(self.layouts), p=weights / weights.sum())]

    def until_due(self, running: Running, due: Due | None, after: float) -> bool:
        """Until what was aimed at happens, or else until `after` seconds; False if the run ends before."""
        seen: set[tuple[str, int]] = set()
        while runs.going(running, self.stop):
            if due is None and running.seconds >= after:
                return True
            if due is not None:
                seen |= due.watch.present()
                if len(seen) >= due.nth:
                    time.sleep(due.delay)
                    return True
            # A deletion is over in a millisecond or two.
            time.sleep(0.0002 if due is not None and not due.delay else 0.001)
        return False

    def phase(self, running: Running, saving: Watch, deleting: Watch, directory: Path) -> str:
        """Where a kill fell, by what is there when all is dead."""
        if saving.present():
            return INSIDE
        if not (directory / "config.json").exists():
            return NO_CONFIG
        if deleting.present():
            return DELETING
        return NO_STEP if running.last_step() is None else TRAINING


if __name__ == "__main__":
    end_tidily_on_sigterm()
    sys.exit(Soak(tyro.cli(Options, description=__doc__)).run())
