"""What disks and numbers do to runs: full, not permitted, removed, NaN. Each with the real command in a process.

    python tests/soak/faults.py

A full disk is a small tmpfs, mounted for it. Where mounting is not allowed, files beyond a size are refused instead
(RLIMIT_FSIZE gives EFBIG, not ENOSPC), and the report says so.
"""

import contextlib
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import runs
import tyro
from artefacts import Artefacts, must_equal, reference
from report import Failure, Report, end_tidily_on_sigterm
from runs import ROOT, Running

# The toy is one of the tests'.
sys.path.append(str(ROOT / "tests"))

# Steps go on for a while after the fault, so that there is something to see.
STEPS = 5000
CADENCE = ("--save-every", 100, "--eval-every", 1000, "--log-every", 20, "--grid-samples", 16)
SIZE = 4 * 2**20
"""Bytes of the small disk: several checkpoints."""
SOON = 60.0
"""Seconds in which a fault has to be noticed, or to be over."""
DISK = 74
# An epoch of the toy, and one of its examples.
TOY_STEPS, TOY_BATCH, PLANTED = 100, 1000, 5


@dataclass
class Options:
    """What to do."""

    experiment: str = "vae"
    """Name of the experiment."""
    work: Path | None = None
    """Where runs and summary.json go (default: a new temporary directory)."""
    reproducible: bool = False
    """Runs are started with --reproducible."""


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """Mounts a small tmpfs on a directory; yields whether that was allowed. Gone at the end."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    mounted = shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", place], check=True)


class TmpfsDisk:
    """A disk that a ballast fills."""

    def __init__(self, place: Path):
        self.directory, self._ballast = place / "run", place / "ballast"

    def command(self, command: list[str]) -> list[str]:
        return command

    def fill(self, running: Running) -> None:
        """Takes all the space that is left."""
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 4096):
                pass

    def free(self, running: Running) -> None:
        """Gives it back."""
        self._ballast.unlink()


class LimitedDisk:
    """What stands for it: a limit to the size of the files that the run writes."""

    def __init__(self, place: Path):
        self.directory = place / "run"

    def command(self, command: list[str]) -> list[str]:
        """The command with its output through a pipe, to which the limit does not apply."""
        return ["bash", "-o", "pipefail", "-c", '"$@" 2>&1 | cat', "run", *command]

    def fill(self, running: Running) -> None:
        """Refuses everything but the smallest files."""
        self._limit(running, 64)

    def free(self, running: Running) -> None:
        """Takes that back."""
        self._limit(running, resource.RLIM_INFINITY)

    def _limit(self, running: Running, size: int) -> None:
        for pid in running.members():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def wait_until(running: Running, condition: Callable[[], object], what: str, limit: float = SOON) -> None:
    """Raises Failure if the run ends, or the time is over, before the condition holds."""
    deadline = time.perf_counter() + limit
    while not condition():
        if running.code is not None:
            raise Failure(f"exit code {running.code} before {what}; it printed last\n{running.last_words()}")
        if time.perf_counter() > deadline:
            raise Failure(f"not within {limit:.0f} s: {what}; it printed last\n{running.last_words()}")
        time.sleep(0.01)


def must_train_on(running: Running) -> None:
    """Raises Failure if no further step is taken."""
    now = running.last_step()
    wait_until(running, lambda: running.last_step() != now, "a further step")


def must_warn_once(running: Running) -> None:
    """Raises Failure unless exactly one line says that the state cannot be saved."""
    lines = [line for line in running.text().splitlines() if "cannot save" in line]
    if len(lines) != 1:
        raise Failure(f"{len(lines)} warnings that it cannot save, not one: {lines}")


def newest(directory: Path) -> int:
    """The newest saved step, -1 where there is none."""
    return max(runs.saved_steps(directory), default=-1)


def with_permissions_minded(command: list[str]) -> list[str]:
    """The command such that directories that may not be written to are not, even for root."""
    if os.geteuid() != 0:
        return command
    without = "-dac_override,-dac_read_search"
    return ["setpriv", f"--inh-caps={without}", f"--bounding-set={without}", *command]


def toy_command(directory: Path, *options: object) -> list[str]:
    """A run of the tests' toy of a few steps, of whose training examples one has the loss NaN."""
    program = "import toy_experiment; from gen_jax import main; main(toy_experiment.EXPERIMENT)"
    # One epoch, so that the example comes once.
    planted = ("--run-dir", directory, "--nan-example", PLANTED, "--steps", TOY_STEPS, "--batch-size", TOY_BATCH)
    return [sys.executable, "-c", program, *map(str, (*planted, "--save-every", 20, "--log-every", 1, *options))]


def the_report(directory: Path) -> dict[str, Any]:
    """What the one bundle of a run says. Raises Failure if there is another number of them, or it is not whole."""
    import numpy as np

    bundles = list((directory / "nonfinite").iterdir())
    if len(bundles) != 1:
        raise Failure(f"{len(bundles)} bundles, not one")
    report = json.loads((bundles[0] / "report.json").read_text())
    with np.load(bundles[0] / "batches.npz") as batches:
        if PLANTED not in batches["index_0"]:
            raise Failure(f"the planted example is not in the batch of the bundle: {batches['index_0']}")
    if report["step"] != int(bundles[0].name) or not report["leaves"]:
        raise Failure(f"the bundle {bundles[0].name} says {report}")
    return report


def must_be_finite(directory: Path, before: int) -> None:
    """Raises Failure unless steps are saved, all of them below `before`, and all that they hold is finite."""
    import numpy as np

    import gen_jax
    from gen_jax.training.state import leaves_by_name

    steps = runs.saved_steps(directory)
    if not steps or max(steps) >= before:
        raise Failure(f"saved steps are {steps}, though step {before} is not finite")
    for step in steps:
        leaves = leaves_by_name(gen_jax.load(directory, step).state)
        bad = [name for name, leaf in leaves.items() if not np.isfinite(np.asarray(leaf)).all()]
        if bad:
            raise Failure(f"saved step {step} has {bad} that are not finite")


class Soak:
    """The faults, a method each."""

    def __init__(self, options: Options):
        self.options = options
        self.work = Path(options.work or tempfile.mkdtemp(prefix="soak-faults-")).resolve()
        shutil.rmtree(self.work / "runs", ignore_errors=True)
        for name in ("runs", "compiled"):
            (self.work / name).mkdir(parents=True, exist_ok=True)
        self.cases = {
            "disk full for a while": self.full_for_a_while,
            "disk full to the end": self.full_to_the_end,
            "no permission for a while": self.no_permission_for_a_while,
            "run directory removed": self.removed,
            "NaN planted": self.nan_planted,
        }
        self.report = Report("faults", self.work, vars(options), tuple(self.cases))

    def run(self) -> int:
        """Everything; the exit code."""
        directory = self.work / "runs" / "reference"
        with self.report.case("reference"):
            self.expected, *_ = reference(self.work, self.command(directory), directory)
            for name, case in self.cases.items():
                with self.report.case(name):
                    case()
                    self.report.count(name)
                    self.report.say(f"{name}: as expected")
        return self.report.end()

    def command(self, directory: Path) -> list[str]:
        """The run's command."""
        extra = ("--reproducible",) if self.options.reproducible else ()
        return runs.training_command(self.options.experiment, directory, "--steps", STEPS, *CADENCE, *extra)

    def start(self, command: list[str], name: str) -> Running:
        """Starts, or continues, a run."""
        variables = runs.environment(self.work, runs.ONE)
        variables["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
        return Running(command, variables, self.work / "runs" / f"{name}.txt")

    @contextlib.contextmanager
    def on_a_small_disk(self, name: str) -> Iterator["TmpfsDisk | LimitedDisk"]:
        """A disk for one run, which can be filled."""
        place = self.work / "runs" / name
        with small_disk(place) as mounted:
            if not mounted:
                self.report.say(f"{name}: mounting is not allowed, so RLIMIT_FSIZE stands for the full disk")
            yield (TmpfsDisk if mounted else LimitedDisk)(place)

    def full_for_a_while(self) -> None:
        """Warns once, trains on, saves when there is space again, and ends as if nothing had been."""
        with self.on_a_small_disk("full-for-a-while") as disk:
            with self.start(disk.command(self.command(disk.directory)), "full-for-a-while") as running:
                wait_until(running, lambda: newest(disk.directory) >= 0, "the first save", runs.HANG)
                disk.fill(running)
                wait_until(running, lambda: "cannot save" in running.text(), "the warning that it cannot save")
                must_train_on(running)
                before = newest(disk.directory)
                disk.free(running)
                wait_until(running, lambda: newest(disk.directory) > before, "a save after there was space again")
                runs.expect(running, 0)
                must_warn_once(running)
            must_equal(self.expected, disk.directory)

    def full_to_the_end(self) -> None:
        """Ends with its own exit code; what was saved before restores, and continues when there is space."""
        with self.on_a_small_disk("full-to-the-end") as disk:
            with self.start(disk.command(self.command(disk.directory)), "full-to-the-end") as running:
                wait_until(running, lambda: newest(disk.directory) >= 0, "the first save", runs.HANG)
                disk.fill(running)
                runs.expect(running, DISK)
                must_warn_once(running)
                step = newest(disk.directory)
                found = Artefacts.of(disk.directory).step
                if found != step or not 0 < step < STEPS:
                    raise Failure(f"step {found} was loaded, though {step} is the newest")
                disk.free(running)
            with self.start(disk.command(self.command(disk.directory)), "full-to-the-end-continued") as running:
                runs.expect(running, 0)
                if running.continued_after() != step:
                    raise Failure(f"continued after step {running.continued_after()}, though {step} was saved")
            must_equal(self.expected, disk.directory)

    def no_permission_for_a_while(self) -> None:
        """As with a disk that is full for a while."""
        directory = self.work / "runs" / "no-permission"
        with self.start(with_permissions_minded(self.command(directory)), "no-permission") as running:
            wait_until(running, lambda: newest(directory) >= 0, "the first save", runs.HANG)
            # Those inside a checkpoint too would keep Orbax from deleting it: they are left as they are.
            closed = [directory, directory / "checkpoints", *directory.glob("samples")]
            for path in closed:
                path.chmod(0o555)
            try:
                wait_until(running, lambda: "cannot save" in running.text(), "the warning that it cannot save")
                must_train_on(running)
            finally:
                for path in closed:
                    path.chmod(0o755)
            before = newest(directory)
            wait_until(running, lambda: newest(directory) > before, "a save after writing was permitted again")
            runs.expect(running, 0)
            must_warn_once(running)
        must_equal(self.expected, directory)

    def removed(self) -> None:
        """Trains on, makes the directory again at the next save, ends well, and can be loaded."""
        directory = self.work / "runs" / "removed"
        with self.start(self.command(directory), "removed") as running:
            wait_until(running, lambda: newest(directory) >= 0, "the first save", runs.HANG)
            while directory.exists():
                shutil.rmtree(directory, ignore_errors=True)
                if running.seconds > runs.HANG:
                    raise Failure("the directory cannot be removed")
            must_train_on(running)
            wait_until(running, lambda: newest(directory) >= 0, "a save after the directory was removed")
            runs.expect(running, 0)
        found = Artefacts.of(directory)
        if (found.step, found.digest) != (self.expected.step, self.expected.digest):
            raise Failure(f"ends at step {found.step} as {found.digest}, not as {self.expected.digest}")

    def nan_planted(self) -> None:
        """Ends with exit 4 and a bundle that reproduces it; nothing saved is not finite; rolling back leaves it out."""
        directory, through = self.work / "runs" / "nan", self.work / "runs" / "nan-left-out"
        for attempt in ("first", "again"):
            with self.start(toy_command(directory), f"nan-{attempt}") as running:
                runs.expect(running, 4)
            report = the_report(directory)
            must_be_finite(directory, before=report["step"])
        with self.start([sys.executable, *shlex.split(report["reproduce"])[1:]], "nan-replayed") as running:
            runs.expect(running, 4)
            if f'"step": {report["step"]}' not in running.text() or report["leaves"][0] not in running.text():
                raise Failure(f"the command of the bundle does not name step {report['step']}: {running.last_words()}")
        # A run that goes on after it was stopped is the same as one that rolled back at once.
        for place in (directory, through):
            with self.start(toy_command(place, "--on-nonfinite", "rollback"), f"{place.name}-rollback") as running:
                runs.expect(running, 0)
            skipped = json.loads((place / "skipped.json").read_text())
            if skipped != [report["step"]]:
                raise Failure(f"steps {skipped} were left out, not {report['step']}")
            logged = [json.loads(line)["step"] for line in (place / "metrics.jsonl").read_text().splitlines()]
            if logged != [*range(1, TOY_STEPS + 1), TOY_STEPS]:
                raise Failure(f"the steps on record are {logged}")
        must_equal(Artefacts.of(directory), through)


if __name__ == "__main__":
    end_tidily_on_sigterm()
    sys.exit(Soak(tyro.cli(Options, description=__doc__)).run())
