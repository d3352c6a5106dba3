"""What a soak found: lines of progress, counts that survive its end, and a table."""

import contextlib
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table


class Failure(Exception):
    """A run did what it must not do."""


class Report:
    """Counts, measured seconds and failures of one soak, kept in WORK/summary.json as they come."""

    def __init__(self, title: str, work: Path, options: Mapping[str, object], rows: Sequence[str]):
        """Begins a report; `rows` are the counts that the table shows even where they stay 0, in order."""
        self.title = title
        self.counts = Counter(dict.fromkeys(rows, 0))
        self.seconds: dict[str, list[float]] = {}
        self.failures: list[str] = []
        self._path = work / "summary.json"
        self._options = {name: str(value) for name, value in options.items()}
        self._begun = time.perf_counter()
        self._lock = threading.RLock()
        self.say(f"{title}, in {work}")

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"[{time.perf_counter() - self._begun:6.0f} s] {text}", flush=True)

    def count(self, *names: str) -> None:
        """Adds one to each of the counts."""
        with self._lock:
            self.counts.update(names)
            self._write()

    def measure(self, name: str, seconds: float) -> None:
        """Notes how long something took."""
        with self._lock:
            self.seconds.setdefault(name, []).append(round(seconds, 3))
            self._write()

    def fail(self, where: str, problem: str) -> None:
        """Notes something that must not be."""
        with self._lock:
            self.failures.append(f"{where}: {problem}")
            self._write()
        self.say(f"FAILED {where}: {problem}")

    @contextlib.contextmanager
    def case(self, where: str) -> Iterator[None]:
        """What goes wrong inside is noted as a failure, and the soak goes on."""
        try:
            yield
        except Exception as error:
            self.fail(where, str(error) if isinstance(error, Failure) else repr(error))

    def end(self) -> int:
        """Prints the table; the exit code."""
        with self._lock:
            self._write()
        Console(width=120).print(table(self.title, json.loads(self._path.read_text())))
        return 1 if self.failures else 0

    def _write(self) -> None:
        found = {
            "title": self.title,
            "options": self._options,
            "counts": self.counts,
            "seconds": self.seconds,
            "failures": self.failures,
            "elapsed": round(time.perf_counter() - self._begun, 1),
        }
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=2) + "\n")
        temporary.replace(self._path)


def table(title: str, summary: Mapping) -> Table:
    """The table of what summary.json holds."""
    made = Table("what", "found", title=f"{title} ({summary['elapsed'] / 60:.0f} min)")
    for name, count in summary["counts"].items():
        made.add_row(name, str(count))
    for name, seconds in summary["seconds"].items():
        made.add_row(f"{name}: longest of {len(seconds)}", f"{max(seconds):.1f} s")
    made.add_row("failures (differences, hangs, errors)", str(len(summary["failures"])), end_section=True)
    return made


def end_tidily_on_sigterm() -> None:
    """SIGTERM to a soak is as Ctrl-C: what it started is killed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
