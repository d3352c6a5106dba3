"""What a person sees of a run: a bar on a terminal, a line per log elsewhere."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn


def duration(seconds: float) -> str:
    """0:07, 12:30 or 2:05:00."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def number(value: float) -> str:
    """Four significant digits, as 0.01234, 12.34 or 1.234e+06; whole numbers as they are."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.4g}"


def line(metrics: Mapping[str, float], most: int | None = None) -> str:
    """Metrics side by side, losses first; at most so many."""
    ordered = sorted(metrics.items(), key=lambda item: (not item[0].endswith("loss"), item[0]))
    return "  ".join(f"{name} {number(value)}" for name, value in ordered[:most])


class Reporter:
    """Prints how the training gets on, and times it, leaving out what is not training."""

    def __init__(self, console: Console, step: int, steps: int, examples_per_step: int):
        """A reporter of a run that has completed `step` of `steps` steps."""
        self.console, self.steps, self.examples_per_step = console, steps, examples_per_step
        self._bar = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            console=console,
            refresh_per_second=2,
            disable=not console.is_terminal,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("compiling", total=steps, completed=step)
        self._last_step, self._last_time = step, time.perf_counter()

    def __enter__(self) -> "Reporter":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def start_clock(self, step: int) -> None:
        """Time counts from here: the first step, with its compilation, is done."""
        self._last_step, self._last_time = step, time.perf_counter()

    @contextmanager
    def pause(self, doing: str) -> Iterator[None]:
        """What happens inside is not training: it is named on the bar and its time not counted."""
        begun = time.perf_counter()
        self._bar.update(self._task, description=doing)
        yield
        self._last_time += time.perf_counter() - begun

    def trained(self, step: int, metrics: Mapping[str, float]) -> float:
        """Shows the metrics of `step`. Returns the examples per second since this was last called."""
        now = time.perf_counter()
        per_step = (now - self._last_time) / max(step - self._last_step, 1)
        self._last_step, self._last_time = step, now
        rate = self.examples_per_step / per_step
        left = duration(per_step * (self.steps - step))
        if self.console.is_terminal:
            # What a narrow terminal cuts off is at the end.
            description = f"{line(metrics, most=1)}  {left} left  {rate:,.0f} examples/s"
            self._bar.update(self._task, completed=step, description=description)
        else:
            self.say(f"step {step}/{self.steps}  {line(metrics)}  {rate:,.0f} examples/s  {left} left")
        return rate

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of an evaluation."""
        self.say(f"step {step}/{self.steps}  held-out  {line(metrics)}")

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
