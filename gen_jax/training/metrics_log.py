"""`metrics.jsonl` and its twin for TensorBoard: one line per logged step and split."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from etils import epath

from gen_jax.errors import StorageError
from gen_jax.training.event_log import EventLog
from gen_jax.training.storage import first_line


class MetricsLog:
    """Appends lines such as {"step": 100, "split": "train", "loss": 0.7}: finite numbers, or null for what is not.

    What depends on the machine, such as examples per second, goes to TensorBoard alone, so that `metrics.jsonl` is a
    function of the configuration. All lines are kept in memory as well: a file that was damaged or removed, or that a
    full disk cut short, is written anew as soon as that is possible.
    """

    def __init__(
        self,
        directory: epath.PathLike,
        step: int,
        *,
        writes: bool = True,
        report: Callable[[str], None] = lambda line: None,
    ):
        """Opens the log of a run that continues after `step` steps; later lines, which will be written again, go.

        Args:
          directory: the run directory; `gs://` works too, where every flush writes the whole file again.
          step: the step of the checkpoint that the run continues from, 0 for a new run.
          writes: False in processes that leave it to another one.
          report: is told of damaged lines, which are left out.

        Raises:
          StorageError: the file cannot be read or written.
        """
        self._directory = epath.Path(directory)
        self._path = self._directory / "metrics.jsonl"
        self._appends = "://" not in str(directory)
        self._writes = writes
        self._events = EventLog(directory, step)
        self._lines: list[str] = []
        # How many lines are known to be on disk; None: what is there is not what should be.
        self._written: int | None = None
        try:
            found = read_lines(self._path)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {first_line(error)}") from error
        if None in found:
            report(f"{found.count(None)} damaged lines of {self._path} are left out")
        self._lines = [line for line in found if line is not None and json.loads(line)["step"] <= step]
        self.flush()

    def rewind(self, step: int) -> None:
        """Drops the lines after `step`, because the run goes back there.

        Raises:
          StorageError: the file cannot be written.
        """
        self._lines = [line for line in self._lines if json.loads(line)["step"] <= step]
        self._written = None
        self._events.close()
        self._events = EventLog(self._directory, step)
        self.flush()

    def write(self, step: int, split: str, metrics: Mapping[str, float], machine: Mapping[str, float] = {}) -> None:
        """Adds a line.

        Args:
          step: completed steps.
          split: "train" or "eval".
          metrics: what was measured.
          machine: what was measured of the machine, for TensorBoard only.
        """
        if not self._writes:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._lines.append(json.dumps({"step": step, "split": split, **finite}))
        self._events.add(step, {f"{split}/{name}": value for name, value in {**metrics, **machine}.items()})

    def flush(self) -> None:
        """Puts what was written on disk; to be called before a checkpoint that assumes it is there.

        Raises:
          StorageError: the disk did not take it; the next flush tries again.
        """
        if not self._writes:
            return
        try:
            if self._written is None or not self._appends or not self._path.exists():
                self._write_all()
            else:
                with self._path.open("a") as file:
                    # Until all is on disk, nothing is known of what is.
                    new, self._written = self._lines[self._written :], None
                    file.writelines(f"{line}\n" for line in new)
                    file.flush()
                    os.fsync(file.fileno())
            self._written = len(self._lines)
            self._events.flush()
        except OSError as error:
            raise StorageError(f"{self._path} could not be written: {first_line(error)}") from error

    def close(self) -> None:
        """Flushes, where the disk takes it, and lets go of the files."""
        with contextlib.suppress(StorageError):
            self.flush()
        self._events.close()

    def _write_all(self) -> None:
        """Replaces the file at once, so that a kill leaves the old one or the new one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(self._path.name + ".tmp")
        with temporary.open("w") as file:
            file.writelines(f"{line}\n" for line in self._lines)
            file.flush()
            if self._appends:
                os.fsync(file.fileno())
        temporary.replace(self._path)


def read_lines(path: epath.Path) -> list[str | None]:
    """The lines of a log, None for each that is damaged; without a last one that a kill cut short. Raises OSError."""
    if not path.exists():
        return []
    return [intact(line) for line in path.read_bytes().split(b"\n")[:-1]]


class Logged(NamedTuple):
    """A line of the log.

    Attributes:
      step: completed steps.
      split: "train" or "eval".
      values: by name; None for what was not finite.
    """

    step: int
    split: str
    values: dict[str, float | None]


def logged(path: epath.Path) -> list[Logged]:
    """The lines of a log, without what in them is damaged or no number. Raises OSError."""
    found = []
    for line in filter(None, read_lines(path)):
        read = json.loads(line)
        step, split = read.pop("step"), read.pop("split", "train")
        values = {name: value for name, value in read.items() if value is None or type(value) in (int, float)}
        found.append(Logged(step, str(split), values))
    return found


def intact(line: bytes) -> str | None:
    """The line as text, None if it is none of a log."""
    try:
        text = line.decode()
        read = json.loads(text)
    except ValueError:
        return None
    return text if isinstance(read, dict) and isinstance(read.get("step"), int) else None
