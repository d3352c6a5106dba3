"""What the soaks share: real runs in processes of their own, and whether what they leave is what it should be.

Processes are found by a mark in their environment, wherever they were reparented to, so that none is ever left behind;
that needs Linux's /proc.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from report import Failure

ROOT = Path(__file__).resolve().parents[2]
# What is soaked is the tree that this file is in, whatever is installed.
sys.path.insert(0, str(ROOT))
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# What would change a run if it were inherited.
STRANGE = ("JAX_", "XLA_", "GEN_JAX_", "PYTEST_")
MARK = "GEN_JAX_SOAK_RUN"
# Parts of the names of directories of steps that are being saved, and that are being deleted.
SAVING, DELETING = ".orbax-checkpoint-tmp", ".deleted"
HANG = 480.0
"""Seconds after which a run that has not ended is taken to hang."""
LAUNCHER_ENDS = 30.0
"""Seconds in which the launcher has to end when one of its processes has died."""


@dataclass(frozen=True)
class Layout:
    """Processes x devices of each."""

    processes: int
    devices: int

    def __str__(self) -> str:
        return f"{self.processes}x{self.devices}"

    @staticmethod
    def parse(text: str) -> "Layout":
        processes, devices = text.split("x")
        return Layout(int(processes), int(devices))


ONE = Layout(1, 1)


def training_command(experiment: str, directory: Path, *options: object) -> list[str]:
    """The command of a tiny run."""
    command = [sys.executable, "-m", f"experiments.{experiment}", "--preset", "tiny", "--run-dir", str(directory)]
    return command + [str(option) for option in options]


def in_layout(layout: Layout, command: Sequence[str], *launch_options: object) -> list[str]:
    """The same command over several processes, where the layout has several."""
    if layout.processes == 1:
        return list(command)
    launch = [sys.executable, "-m", "gen_jax", "launch", "--processes", layout.processes, "--devices", layout.devices]
    return [str(part) for part in (*launch, *launch_options, "--", *command)]


def environment(work: Path, layout: Layout, cache: Path | None = None) -> dict[str, str]:
    """Variables of a run, nothing that changes it being inherited; `cache` keeps compilations (default: in `work`)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)}
    devices = {"JAX_NUM_CPU_DEVICES": str(layout.devices)} if layout.processes == 1 else {}
    return kept | devices | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache or work / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "GEN_JAX_CACHE": str(work / "cache"),
        "PYTHONPATH": str(ROOT),
        # Lines that are looked for must not be wrapped.
        "COLUMNS": "1000",
    }  # fmt: skip


class Running:
    """A command in a session of its own, with all processes that come of it. A context: at its end all are dead."""

    def __init__(self, command: Sequence[str], variables: dict[str, str], output: Path):
        """Starts it; stdout and stderr together go to the file `output`."""
        self._mark = uuid.uuid4().hex
        self._output = output
        self.begun = time.perf_counter()
        with output.open("wb") as file:
            self._root = subprocess.Popen(
                command,
                cwd=ROOT,
                env=variables | {MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def code(self) -> int | None:
        """Exit code of the command (of the launcher, where there is one), None while it runs."""
        return self._root.poll()

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.perf_counter() - self.begun

    def text(self) -> str:
        """All that was printed so far."""
        return self._output.read_text(errors="replace")

    def last_step(self) -> int | None:
        """The last step whose metrics were printed, None before the first."""
        steps = re.findall(r"\bstep ([\d,]+)/", self.text())
        return int(steps[-1].replace(",", "")) if steps else None

    def continued_after(self) -> int | None:
        """The step after which it says that it continues, None where it says none; of several starts the last."""
        steps = re.findall(r"continuing after step ([\d,]+)", self.text())
        return int(steps[-1].replace(",", "")) if steps else None

    def alive(self) -> list[int]:
        """All processes that came of the command and still live, itself included; oldest first."""
        wanted, found = f"{MARK}={self._mark}".encode(), []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                try:
                    # The environment of a process that has died but was not waited for is empty.
                    if wanted in Path(entry.path, "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    pass
        return sorted(found)

    def members(self) -> list[int]:
        """The processes that train, without the launcher."""
        found = []
        for pid in self.alive():
            try:
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if pid != self._root.pid and b"experiments." in arguments and b"\0launch\0" not in arguments:
                found.append(pid)
        return found

    def send(self, number: signal.Signals) -> None:
        """A signal to the command itself alone."""
        self._root.send_signal(number)

    def kill_one(self, draw: float, launcher: bool = False) -> bool:
        """SIGKILL to one of the processes that train, or to the launcher if it counts; whether there was one.

        Args:
          draw: decides which; from 0 to 1, without 1.
          launcher: whether it may be the launcher.
        """
        found = self.members()
        if found and launcher:
            found.append(self._root.pid)
        if found:
            send(found[int(draw * len(found))], signal.SIGKILL)
        return bool(found)

    def kill(self) -> None:
        """SIGKILL to everything, until nothing is left."""
        deadline = time.perf_counter() + 30
        if self._root.poll() is None:
            self._root.kill()
        while pids := self.alive():
            for pid in pids:
                send(pid, signal.SIGKILL)
            if time.perf_counter() > deadline:
                raise RuntimeError(f"processes {pids} cannot be killed")
            time.sleep(0.001)
        self._root.wait(timeout=30)

    def wait(self, limit: float = HANG) -> int | None:
        """The exit code, or None if it has not ended within so many seconds."""
        try:
            return self._root.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            return None

    def wait_for_step(self, limit: float = HANG) -> bool:
        """Until the first metrics are printed; False if it ends, or does not get there, before."""
        deadline = time.perf_counter() + limit
        while self.last_step() is None:
            if self.code is not None or time.perf_counter() > deadline:
                return False
            time.sleep(0.02)
        return True

    def last_words(self, lines: int = 15) -> str:
        """The end of what it printed."""
        return "\n".join(self.text().splitlines()[-lines:])


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process that may just have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def going(running: Running, stop: threading.Event | None = None) -> bool:
    """Whether it still runs. Raises Failure if it hangs, or if the soak was stopped."""
    if stop is not None and stop.is_set():
        raise Failure("stopped from outside")
    if running.code is None and running.seconds > HANG:
        raise Failure(f"no end within {HANG:.0f} s; it printed last\n{running.last_words()}")
    return running.code is None


class Watch:
    """Sees from outside whether a step is being saved (or deleted): a directory named so that was not there before."""

    def __init__(self, directory: Path, mark: str = SAVING):
        self._checkpoints, self._mark = directory / "checkpoints", mark
        self._stale = self._marked()

    def present(self) -> set[tuple[str, int]]:
        """Saves (or deletions) under way, by name and inode; what an earlier run left behind is none."""
        now = self._marked()
        self._stale &= now
        return now - self._stale

    def _marked(self) -> set[tuple[str, int]]:
        try:
            return {(entry.name, entry.inode()) for entry in os.scandir(self._checkpoints) if self._mark in entry.name}
        except OSError:
            return set()


def saved_steps(directory: Path) -> list[int]:
    """The steps whose directories have their final name, oldest first."""
    try:
        return sorted(int(name) for name in os.listdir(directory / "checkpoints") if name.isdigit())
    except OSError:
        return []


def expect(running: Running, code: int, limit: float = HANG) -> None:
    """Waits for the end. Raises Failure if there is none within the limit, or if it is another than expected."""
    found = running.wait(limit)
    if found is None:
        raise Failure(f"no end within {limit:.0f} s; it printed last\n{running.last_words()}")
    if found != code:
        raise Failure(f"exit code {found}, not {code}; it printed last\n{running.last_words()}")
    # The launcher's own helpers may take a moment more than itself.
    time.sleep(0.05)
    if left := running.alive():
        raise Failure(f"it ended and left processes {left} behind")


def all_end(running: Running) -> float:
    """How many seconds the launcher and all of its processes take to end after this. Raises Failure if too many."""
    begun = time.perf_counter()
    while running.code is None or running.alive():
        if time.perf_counter() - begun > LAUNCHER_ENDS:
            what = "launcher lives" if running.code is None else f"processes {running.alive()} live"
            raise Failure(f"{what} {LAUNCHER_ENDS:.0f} s after a kill; it printed last\n{running.last_words()}")
        time.sleep(0.01)
    return time.perf_counter() - begun
