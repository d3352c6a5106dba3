"""The one training loop."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from gen_jax.errors import NonFiniteError
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.game import Game
from gen_jax.training.metrics_log import MetricsLog
from gen_jax.training.program import Program
from gen_jax.training.progress import Reporter
from gen_jax.training.state import State, leaves_by_name
from gen_jax.training.step import Metrics


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

    def due(self, period: int, step: int) -> bool:
        """Whether what happens every `period` steps happens after `step`."""
        return step == self.steps or (period > 0 and step % period == 0)

    def next_event(self, step: int) -> int:
        """The first step after `step` at which anything happens."""
        periods = [period for period in (self.log_every, self.eval_every, self.save_every) if period > 0]
        return min([self.steps, *(step - step % period + period for period in periods)])


def due_metrics(game: Game, step: int, metrics: tuple[Metrics, ...]) -> dict[str, jax.Array]:
    """The metrics of those turns that were taken in the last of `step` steps."""
    return {
        name: value
        for due, turn in zip(game.due(step - 1), metrics, strict=True)
        if due
        for name, value in turn.items()
    }


def check_finite(metrics: Mapping[str, float], step: int, saved: int | None) -> None:
    """Raises NonFiniteError naming what is NaN or infinite."""
    names = [name for name, value in metrics.items() if not math.isfinite(value)]
    if names:
        last = "there is no checkpoint yet" if saved is None else f"the last good checkpoint is that of step {saved}"
        raise NonFiniteError(f"{', '.join(names)} stopped being finite at or before step {step}; {last}")


@jax.jit
def non_finite_leaves(state: State) -> dict[str, jax.Array]:
    """Whether each floating-point leaf holds a NaN or an infinity, by the leaf's name."""
    leaves = leaves_by_name(state)
    return {n: ~jnp.all(jnp.isfinite(x)) for n, x in leaves.items() if jnp.issubdtype(x.dtype, jnp.floating)}


def train(
    program: Program,
    state: State,
    cadence: Cadence,
    *,
    checkpoints: Checkpoints,
    log: MetricsLog,
    reporter: Reporter,
    evaluate: Callable[[int, State], Mapping[str, float]],
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

    Raises:
      NonFiniteError: a logged metric, or a parameter at the time of saving, is not finite. Nothing of it is saved.
    """
    step = int(state.step)
    held: tuple[int, dict[str, jax.Array]] | None = None

    def write_held() -> None:
        nonlocal held
        if held is None:
            return
        (at, on_device), held = held, None
        metrics = {name: float(value) for name, value in jax.device_get(on_device).items()}
        rate = reporter.trained(at, metrics)
        log.write(at, "train", metrics, {"examples_per_second": rate})
        if not all(map(math.isfinite, metrics.values())):
            log.flush()
        check_finite(metrics, at, checkpoints.latest())

    def save() -> None:
        bad = {name: math.nan for name, is_bad in jax.device_get(non_finite_leaves(state)).items() if is_bad}
        check_finite(bad, step, checkpoints.latest())
        log.flush()
        checkpoints.save(step, state, {"step": step})

    begun = step
    while step < cadence.steps:
        first = step == begun
        state, step, metrics = program.advance(state, step, 1 if first else cadence.next_event(step) - step)
        write_held()
        if first:
            jax.block_until_ready(state.step)
            reporter.start_clock(step)
        if cadence.due(cadence.log_every, step):
            held = step, due_metrics(program.game, step, metrics)
        if cadence.due(cadence.eval_every, step):
            write_held()
            with reporter.pause("evaluating"):
                held_out = evaluate(step, state)
                log.write(step, "eval", held_out)
                reporter.evaluated(step, held_out)
        if cadence.due(cadence.save_every, step):
            write_held()
            with reporter.pause("saving"):
                save()
    write_held()
    log.flush()
    checkpoints.wait()
    return state
