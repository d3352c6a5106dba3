"""The one training loop."""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax

from gen_jax.errors import Preempted, StorageError
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.metrics_log import MetricsLog
from gen_jax.training.nonfinite import bad_leaves, check_finite, due_metrics
from gen_jax.training.pace import Pace
from gen_jax.training.program import Program
from gen_jax.training.progress import Reporter
from gen_jax.training.state import State
from gen_jax.training.step_directories import together


@dataclass(frozen=True)
class Cadence:
    """When what happens, in steps; 0: only at the end.

    Attributes:
      steps: how many steps the run has in all.
      log_every: training metrics.
      eval_every: evaluation and a sample grid.
      save_every: a checkpoint.
    """

    steps: int
    log_every: int
    eval_every: int
    save_every: int

    @classmethod
    def of(cls, steps: int, log_every: int | None, eval_every: int | None, save_every: int | None) -> "Cadence":
        """The periods that are given; None: a share of all steps, up to what one would not want to wait or lose."""

        def share(period: int | None, part: int, most: int) -> int:
            return max(1, min(steps // part, most)) if period is None else period

        return cls(steps, share(log_every, 20, 500), share(eval_every, 4, 20_000), share(save_every, 4, 10_000))

    def due(self, period: int, step: int) -> bool:
        """Whether what happens every `period` steps happens after `step`."""
        return step == self.steps or (period > 0 and step % period == 0)

    def next_event(self, step: int) -> int:
        """The first step after `step` at which anything happens."""
        periods = [period for period in (self.log_every, self.eval_every, self.save_every) if period > 0]
        return min([self.steps, *(step - step % period + period for period in periods)])


class SaveWarnings:
    """Says once that saving does not work, and once that it does again."""

    def __init__(self, say: Callable[[str], None]):
        self._say, self._last = say, ""

    def report(self, line: str) -> None:
        """Something could not be written; the training goes on."""
        if not self._last:
            self._say(f"warning: cannot save: {line}; training goes on, and the next save tries again")
        self._last = line

    def over(self) -> None:
        """All that was to be written is."""
        if self._last:
            self._say("saving works again")
        self._last = ""


def train(
    program: Program,
    state: State,
    cadence: Cadence,
    *,
    checkpoints: Checkpoints,
    log: MetricsLog,
    reporter: Reporter,
    evaluate: Callable[[int, State], Mapping[str, float]],
    write: Callable[[], None] = lambda: None,
    save_warnings: SaveWarnings | None = None,
    requested: Callable[[int], bool] = lambda step: False,
    skipped: frozenset[int] = frozenset(),
) -> State:
    """Trains until `cadence.steps` steps are completed.

    Training metrics stay on the device until the step after theirs has been dispatched, so that the device has work
    while Python waits for them. At a step where several things happen the order is log, evaluate, save: a checkpoint
    is only written once everything up to its step is on record.

    Args:
      program: the compiled step.
      state: where to begin; donated.
      cadence: when what happens.
      checkpoints: where to save.
      log: where metrics go.
      reporter: shows progress.
      evaluate: (step, state) -> metrics; also draws the sample grid.
      write: writes what else has to be on disk before a checkpoint; raises StorageError.
      save_warnings: is told when something cannot be written.
      requested: (step) -> whether to save and stop after it; asked once a dispatch.
      skipped: steps, counted from 1, that are counted and not taken.

    Raises:
      NonFiniteError: a logged metric, or a parameter at the time of saving, is not finite. Nothing of it is saved.
      Preempted: it was asked to stop, and has saved.
      StorageError: the last state could not be saved.
    """
    save_warnings, pace = save_warnings or SaveWarnings(reporter.say), Pace()
    step = begun = int(state.step)
    held: tuple[int, dict[str, jax.Array]] | None = None
    measured: tuple[int, Mapping[str, float]] = (begun, {})

    def write_held() -> None:
        nonlocal held
        if held is None:
            return
        (at, on_device), held = held, None
        metrics = {name: float(value) for name, value in jax.device_get(on_device).items()}
        rate = reporter.trained(at, metrics)
        log.write(at, "train", metrics, {"examples_per_second": rate})
        if not all(map(math.isfinite, metrics.values())):
            with contextlib.suppress(StorageError):
                together(log.flush)
        check_finite(metrics, at, checkpoints.latest)

    def save() -> None:
        """Raises StorageError if the disk does not even take the beginning."""
        write_held()
        check_finite(dict.fromkeys(bad_leaves(state), math.nan), step, checkpoints.latest)
        together(log.flush)
        together(write)
        checkpoints.save(step, state, measured[1] if measured[0] == step else {})

    def settle() -> None:
        """Learns how the save before went. With several processes raises StorageError if it failed."""
        try:
            if checkpoints.wait():
                save_warnings.over()
        except StorageError as error:
            if jax.process_count() > 1:
                # Others may be waiting, in Orbax, for the one that failed.
                raise
            save_warnings.report(str(error))

    def try_to_save() -> None:
        settle()
        try:
            save()
        except StorageError as error:
            save_warnings.report(str(error))

    def save_and_wait() -> None:
        """Raises StorageError unless the state is on disk."""
        settle()
        save()
        checkpoints.wait()
        save_warnings.over()

    while step < cadence.steps:
        first = step == begun
        if step + 1 in skipped:
            state, step = program.skip(state, step)
            write_held()
            log.write(step, "train", {"skipped_steps": float(sum(number <= step for number in skipped))})
        else:
            stop = min([cadence.next_event(step), *(number - 1 for number in skipped if number > step)])
            before = step
            # Several processes have to ask about the same steps whether to stop, and would find paces of their own.
            most = stop - step if jax.process_count() > 1 else min(stop - step, pace.steps)
            state, step, metrics = program.advance(state, step, 1 if first else most)
            pace.dispatched(metrics, step - before)
            write_held()
            if cadence.due(cadence.log_every, step):
                held = step, due_metrics(program.game, step, metrics)
        if first:
            jax.block_until_ready(state.step)
            reporter.start_clock(step)
        if cadence.due(cadence.eval_every, step):
            write_held()
            with reporter.pause("evaluating"):
                measured = step, evaluate(step, state)
                log.write(step, "eval", measured[1])
                reporter.evaluated(*measured)
        if step < cadence.steps and cadence.due(cadence.save_every, step):
            write_held()
            with reporter.pause("saving"):
                try_to_save()
        if step < cadence.steps and requested(step):
            with reporter.pause("saving"):
                save_and_wait()
            raise Preempted(f"preempted after step {step}, saved; the same command continues")
    if step > begun:
        with reporter.pause("saving"):
            save_and_wait()
    else:
        write_held()
    return state
