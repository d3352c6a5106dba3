"""Means of a game's per-example metrics over held-out data."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax.data.batches import place
from gen_jax.training import keys
from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.game import Array, Batch, Game
from gen_jax.training.reduction import Reduction, whole_batch
from gen_jax.training.sharding import Layout, replicated, split_batch
from gen_jax.training.state import State

HeldOut = Callable[[], Iterable[Mapping[str, np.ndarray]]]
"""Gives the held-out batches, in order, each with a boolean "mask" (batch,) that is False on padding."""


class Evaluator:
    """Evaluates states of a game on the same held-out batches with the same noise each time."""

    def __init__(self, game: Game, held_out: HeldOut, mesh: Mesh, seed: int, reduce: Reduction = whole_batch):
        """Nothing is compiled yet; `reduce` is that of the training."""
        self.game, self.held_out, self.mesh, self.reduce = game, held_out, mesh, reduce
        self.root = jax.random.key(seed)
        self._metrics = CompiledTogether(jax.jit(self._batch_metrics, out_shardings=replicated(mesh)), mesh)

    def __call__(self, state: State) -> dict[str, float]:
        """The mean of each metric over the held-out split; none where the game has nothing to evaluate."""
        if self.game.evaluate is None:
            return {}
        totals: dict[str, float] = {}
        examples = 0
        for number, batch in enumerate(self.held_out()):
            rows = {name: place(array, split_batch(self.mesh)) for name, array in batch.items() if name != "mask"}
            values = self._metrics(state.sampling_params, state.variables, rows, np.int32(number), self.root)
            for name, value in jax.device_get(values).items():
                totals[name] = totals.get(name, 0.0) + float(np.sum(value[batch["mask"]], dtype=np.float64))
            examples += int(batch["mask"].sum())
        return {name: total / examples for name, total in totals.items()}

    def lower(self, state: State, batch: Mapping[str, Any]) -> Any:
        """The evaluation of one held-out batch, ready to `compile()`; nothing runs.

        Args:
          state: ShapeDtypeStructs with shardings.
          batch: likewise, without the mask.
        """
        root = jax.ShapeDtypeStruct((), self.root.dtype, sharding=replicated(self.mesh))
        number = jax.ShapeDtypeStruct((), np.int32, sharding=replicated(self.mesh))
        return self._metrics.lower(state.sampling_params, state.variables, dict(batch), number, root)

    def _batch_metrics(
        self, params: Any, variables: Any, batch: dict[str, Array], number: Array, root: Array
    ) -> dict[str, Array]:
        def part(shared: Any, batch: Batch, key: Array) -> tuple[None, dict[str, Array]]:
            assert self.game.evaluate is not None
            batch = self.game.transformed(batch, keys.derive(key, "transform"), train=False)
            params, variables = shared
            return None, self.game.evaluate(params, variables, batch, keys.derive(key, "loss"))

        shared = Layout(self.mesh).whole((params, variables))
        _, metrics = self.reduce(part, shared, batch, keys.derive(root, "evaluate", number))
        # Brought together in one exchange: of two, the devices of a CPU may each wait for another.
        together = jax.lax.with_sharding_constraint(jnp.stack(list(metrics.values())), replicated(self.mesh))
        return dict(zip(metrics, together, strict=True))
