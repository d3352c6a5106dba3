"""One step of any game: the turns that are due, the weight averages, the count."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gen_jax.training import keys
from gen_jax.training.game import Array, Batch, Game, Now, Params, PyTree, Turn
from gen_jax.training.reduction import Reduction, whole_batch
from gen_jax.training.sharding import ANYWHERE, Layout
from gen_jax.training.state import State, strongly_typed

Metrics = dict[str, Array]
DrawBatch = Callable[[Array, int | Array], Batch]
"""(step, number of the draw within the step) -> a batch as it is stored; a pure function of the two."""


class TurnKeys(NamedTuple):
    """The randomness of one repeat of a turn.

    Attributes:
      transform: of the batch; turns that look at the same batch again see it transformed alike.
      loss: of all players of the turn.
    """

    transform: Array
    loss: Array


def subtree(tree: Mapping[str, Any], nets: tuple[str, ...]) -> dict[str, Any]:
    """The entries of `tree` that belong to `nets`."""
    return {net: tree[net] for net in nets}


def move(
    game: Game, name: str, state: State, batch: Batch, turn_keys: TurnKeys, reduce: Reduction, layout: Layout
) -> tuple[dict[str, Any], Metrics, Any]:
    """One player's move from `state`: what it changes of the state's fields, its metrics, its outputs.

    The loss is differentiated in the parameters that the player owns; all others are constants to it.
    """
    player = game.players[name]
    host, optimizer = game.optimizer(name)

    def part(shared: PyTree, batch: Batch, turn_keys: TurnKeys) -> tuple[PyTree, PyTree]:
        params, variables, now = layout.whole(shared)
        batch = game.transformed(batch, turn_keys.transform, train=True)

        def objective(owned: Params) -> tuple[Array, Any]:
            per_example, aux = player.loss({**params, **owned}, variables, batch, turn_keys.loss, now)
            if per_example.ndim != 1:
                raise ValueError(
                    f"the loss of player {name!r} has shape {per_example.shape}, not one value per example"
                )
            # The one place that averages over examples and, the batch being sharded, over devices.
            return jnp.mean(layout.split(per_example)), aux

        (loss, aux), gradients = jax.value_and_grad(objective, has_aux=True)(subtree(params, player.nets))
        updated = {net: aux.variables[net] for net in player.nets if net in aux.variables}
        metrics = jax.tree.map(jnp.mean, dict(aux.metrics))
        return (layout.as_state(gradients), loss, metrics, layout.as_state(updated)), aux.outputs

    shared = (state.params, state.variables, Now(state.carry, state.step))
    (gradients, loss, metrics, variables), outputs = reduce(part, shared, batch, turn_keys)
    owned = subtree(state.params, player.nets)
    updates, opt_state = optimizer.update(gradients, state.opt_state[host], owned)
    changes = {
        "params": player.project(optax.apply_updates(owned, updates)),
        "variables": {net: {**state.variables[net], **variables.get(net, {})} for net in player.nets},
        "opt_state": {host: opt_state},
    }
    loss_name = "loss" if len(game.players) == 1 else f"{name}_loss"
    return changes, {loss_name: loss, **metrics}, outputs


def take_turn(
    game: Game, turn: Turn, state: State, batch: Batch, turn_keys: TurnKeys, reduce: Reduction, layout: Layout
) -> tuple[State, Metrics]:
    """The players of a turn move together: each sees the parameters, the batch and the keys that the others see."""
    fields: dict[str, Any] = {
        "params": dict(state.params),
        "variables": dict(state.variables),
        "opt_state": dict(state.opt_state),
    }
    metrics: Metrics = {}
    outputs: dict[str, Any] = {}
    for name in turn.players:
        changes, player_metrics, outputs[name] = move(game, name, state, batch, turn_keys, reduce, layout)
        for field, change in changes.items():
            fields[field].update(change)
        metrics.update(player_metrics)
    carry = turn.carry_update(state.carry, metrics, outputs, keys.derive(turn_keys.loss, "carry"))
    return dataclasses.replace(state, **fields, carry=carry), metrics


def update_averages(game: Game, state: State) -> dict[str, Any]:
    """Exponential averages of the weights; the schedules of the decay count steps from 0."""
    return {
        net: optax.incremental_update(state.params[net], state.averages[net], 1.0 - decay(state.step))
        for net, decay in game.averages.items()
    }


def play(
    game: Game,
    index: int,
    draw: DrawBatch,
    state: State,
    root: Array,
    *,
    reduce: Reduction,
    layout: Layout,
    unroll: bool,
) -> tuple[State, Metrics]:
    """All repeats of one turn; the metrics are those of the last."""
    turn, first_draw = game.turns[index], game.first_draw(index)

    def repeat(state: State, number: int | Array) -> tuple[State, Metrics]:
        # A batch is a pure function of its number: to look again at the last one is to draw it again.
        drawn = first_draw + number if turn.fresh else first_draw
        turn_keys = TurnKeys(
            transform=keys.derive(root, "transform", state.step, drawn),
            loss=keys.derive(root, "turn", state.step, index, number),
        )
        return take_turn(game, turn, state, draw(state.step, drawn), turn_keys, reduce, layout)

    if unroll or turn.repeat == 1:
        # Traced once, and put in its place by XLA as often as it is called.
        once = jax.jit(repeat) if turn.repeat > 1 else repeat
        for number in range(turn.repeat):
            state, metrics = once(state, number)
        return state, metrics
    state, stacked = jax.lax.scan(repeat, state, jnp.arange(turn.repeat))
    return state, jax.tree.map(lambda values: values[-1], stacked)


def train_step(
    game: Game,
    draw: DrawBatch,
    state: State,
    root: Array,
    *,
    due: tuple[bool, ...] | None,
    unroll: bool,
    reduce: Reduction = whole_batch,
    layout: Layout = ANYWHERE,
) -> tuple[State, tuple[Metrics, ...]]:
    """Every turn once, in order.

    Args:
      game: the method.
      draw: where batches come from.
      state: the state after `state.step` steps.
      root: the run's root key.
      due: which turns to take, where the caller knows the step's number; None decides on the device. The first costs
        one compilation per pattern and the second a conditional, in which XLA's CPU convolutions are ~30x slower.
      unroll: whether repeats are written out or looped over; the same trade.
      reduce: how gradients, losses and statistics of a batch are computed from its examples.
      layout: where the arrays of what `reduce` computes lie.

    Returns:
      The state after one more step, and the metrics of each turn. Those of a turn that was not due mean nothing.
    """
    metrics = []
    for index, turn in enumerate(game.turns):
        take = functools.partial(play, game, index, draw, root=root, reduce=reduce, layout=layout, unroll=unroll)
        if turn.always or (due is not None and due[index]):
            state, turn_metrics = take(state=state)
        elif due is None:
            shapes = jax.eval_shape(take, state=state)[1]
            state, turn_metrics = jax.lax.cond(
                turn.due(state.step),
                lambda state, take=take: take(state=state),
                lambda state, shapes=shapes: (
                    state,
                    jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes),
                ),
                state,
            )
        else:
            turn_metrics = {}
        metrics.append(turn_metrics)
    state = dataclasses.replace(state, averages=update_averages(game, state), step=state.step + 1)
    return strongly_typed(state), tuple(metrics)
