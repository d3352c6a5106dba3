"""NaN and infinity: noticing them, and finding the step that made them by taking the steps again."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from gen_jax.errors import NonFiniteError, StorageError
from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.game import Game
from gen_jax.training.program import Program
from gen_jax.training.same_shapes import over_leaves
from gen_jax.training.sharding import replicated_like
from gen_jax.training.state import State, leaves_by_name
from gen_jax.training.step import Metrics


def due_metrics(game: Game, step: int, metrics: tuple[Metrics, ...]) -> dict[str, jax.Array]:
    """The metrics of those turns that were taken in the last of `step` steps."""
    return {
        name: value
        for due, turn in zip(game.due(step - 1), metrics, strict=True)
        if due
        for name, value in turn.items()
    }


def check_finite(metrics: Mapping[str, float], step: int, latest: Callable[[], int | None]) -> None:
    """Raises NonFiniteError naming what is NaN or infinite, and the latest checkpoint."""
    names = [name for name, value in metrics.items() if not math.isfinite(value)]
    if names:
        raise NonFiniteError(
            f"{', '.join(names)} stopped being finite at or before step {step}; {last_good(latest)}", step
        )


def last_good(latest: Callable[[], int | None]) -> str:
    """Which checkpoint there is to go back to, in words."""
    try:
        saved = latest()
    except StorageError:
        # What is not finite must not pass for trouble with the disk.
        return "the checkpoints cannot be read"
    return "there is no checkpoint yet" if saved is None else f"the last good checkpoint is that of step {saved}"


@CompiledTogether
@partial(jax.jit, static_argnames="everywhere")
def are_finite(leaves: list[jax.Array], everywhere: NamedSharding | None) -> jax.Array:
    """Whether each leaf is without a NaN or an infinity: bool (leaves,), replicated if they span several processes."""
    found = over_leaves(lambda leaf: jnp.isfinite(leaf).all(), leaves)
    return found if everywhere is None else jax.lax.with_sharding_constraint(found, everywhere)


def bad_leaves(state: State) -> list[str]:
    """Names of the leaves that hold a NaN or an infinity, in alphabetical order."""
    leaves = {n: x for n, x in leaves_by_name(state).items() if jnp.issubdtype(x.dtype, jnp.floating)}
    if not leaves:
        return []
    found = jax.device_get(are_finite(list(leaves.values()), everywhere=replicated_like(leaves.values())))
    return sorted(name for name, is_finite in zip(leaves, found.tolist(), strict=True) if not is_finite)


@dataclass(frozen=True)
class Culprit:
    """The step that made a number that is not finite.

    Attributes:
      step: its number, counted from 1.
      before: the state before it, all finite.
      metrics: of the step, those that are not finite as NaN or infinity.
      leaves: names of the leaves of the state after it that are not finite.
    """

    step: int
    before: State
    metrics: dict[str, float]
    leaves: list[str]

    @property
    def names(self) -> list[str]:
        """All that is not finite."""
        return [name for name, value in self.metrics.items() if not math.isfinite(value)] + self.leaves


def take_one(program: Program, state: State, step: int) -> tuple[State, Culprit]:
    """The state after one more step, and what of it is not finite; `state` is not donated."""
    after, _, metrics = program.advance(jax.tree.map(jnp.copy, state), step, 1)
    values = {n: float(v) for n, v in jax.device_get(due_metrics(program.game, step + 1, metrics)).items()}
    return after, Culprit(step + 1, state, values, bad_leaves(after))


def find_culprit(program: Program, state: State, last: int, skipped: frozenset[int]) -> Culprit | None:
    """Takes the steps from `state` on again, one at a time, until one makes a number that is not finite.

    None where none does up to step `last`: then it was not the computation, and the machine is to be suspected.
    """
    step = int(state.step)
    while step < last:
        if step + 1 in skipped:
            state, step = program.skip(state, step)
            continue
        after, culprit = take_one(program, state, step)
        if culprit.names:
            return culprit
        state, step = after, step + 1
    return None
