"""Means of a game's per-example metrics over held-out data."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax.training import keys
from gen_jax.training.game import Array, Game
from gen_jax.training.sharding import split_batch
from gen_jax.training.state import State

HeldOut = Callable[[], Iterable[Mapping[str, np.ndarray]]]
"""Gives the held-out batches, in order, each with a boolean "mask" (batch,) that is False on padding."""


class Evaluator:
    """Evaluates states of a game on the same held-out batches with the same noise each time."""

    def __init__(self, game: Game, held_out: HeldOut, mesh: Mesh, seed: int):
        """Nothing is compiled yet."""
        self.game, self.held_out, self.mesh = game, held_out, mesh
        self.root = jax.random.key(seed)
        self._sums = jax.jit(self._batch_sums)

    def __call__(self, state: State) -> dict[str, float]:
        """The mean of each metric over the held-out split; none where the game has nothing to evaluate."""
        if self.game.evaluate is None:
            return {}
        totals: dict[str, float] = {}
        examples = 0
        for number, batch in enumerate(self.held_out()):
            on_device = jax.device_put(dict(batch), split_batch(self.mesh))
            sums = self._sums(state.sampling_params, state.variables, on_device, np.int32(number), self.root)
            for name, value in jax.device_get(sums).items():
                totals[name] = totals.get(name, 0.0) + float(value)
            examples += int(batch["mask"].sum())
        return {name: total / examples for name, total in totals.items()}

    def _batch_sums(
        self, params: Any, variables: Any, batch: dict[str, Array], number: Array, root: Array
    ) -> dict[str, Array]:
        assert self.game.evaluate is not None
        batch = dict(batch)
        mask = batch.pop("mask")
        key = keys.derive(root, "evaluate", number)
        batch["x"] = self.game.transform.evaluate(batch["x"], keys.derive(key, "transform"))
        metrics = self.game.evaluate(params, variables, batch, keys.derive(key, "loss"))
        return {name: jnp.sum(jnp.where(mask, values, 0)) for name, values in metrics.items()}
