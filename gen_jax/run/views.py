"""What a state of a run looks like: its samples, or what its method does with held-out data."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax.data import Dataset, Field, Split, Streams
from gen_jax.data.info import DataInfo
from gen_jax.run.setup import example
from gen_jax.show.grid import COMPARED, compared, picture, samples_for
from gen_jax.training import keys
from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.game import Array, Batch, Game, View
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import replicated
from gen_jax.training.state import State

# Examples that a view may show, one a row: fewer where a network is called often for each.
ROWS = 8
ROWS_OF_CHAINS = 4
# Classes that have a row of a grid, evenly chosen where there are more.
MOST_ROWS = 32


def spread(split: Split | Streams, most: int) -> dict[str, np.ndarray]:
    """Examples from all over a split, which may be sorted by its labels; some are repeated if it has fewer."""
    return split.load(np.linspace(0, split.size - 1, most).round().astype(np.int64))


def view_batch(game: Game, info: DataInfo, dataset: Dataset | None, seed: int) -> Batch:
    """A transformed batch from all over the held-out data; without a data set zeros, and each class in turn."""
    size = ROWS if game.sampling.steps == 1 else ROWS_OF_CHAINS
    if dataset is None:
        batch = {name: jnp.repeat(one, size, axis=0) for name, one in example(info).items()}
        batch["index"] = jnp.arange(size, dtype=jnp.int32)
        if info.class_names is not None:
            batch["label"] = batch["index"] % len(info.class_names)
        return batch
    rows = {name: jnp.asarray(array) for name, array in spread(dataset.test_streams, size).items()}
    return game.transformed(rows, keys.derive(jax.random.key(seed), "view", "transform"), train=False)


def compiled_view(game: Game, view: View, mesh: Mesh) -> Callable[[State, Batch, Array], np.ndarray]:
    """(state, batch, key) -> what a view shows, (rows, columns, *shape) as data are stored."""

    def restored(*arguments: Any) -> Any:
        return game.restored(view(*arguments))

    compiled = CompiledTogether(jax.jit(restored, out_shardings=replicated(mesh)), mesh)
    return lambda state, batch, key: np.asarray(
        jax.device_get(compiled(state.sampling_params, state.variables, batch, key))
    )


class Grid:
    """A picture of each state: samples of the same latents each time, with a row for each class where it takes labels.

    Of a game that makes no samples it is the first view.
    """

    def __init__(
        self, game: Game, info: DataInfo, dataset: Dataset, sampler: Sampler, mesh: Mesh, seed: int, size: int
    ):
        """Nothing is compiled yet.

        Args:
          game: the method.
          info: of its data.
          dataset: the data.
          sampler: draws the samples.
          mesh: the devices that hold a state.
          seed: of the run.
          size: tiles of the picture, about; of points there are 32 times as many.
        """
        self.game, self.info, self.dataset, self.sampler, self.seed = game, info, dataset, sampler, seed
        self.size = size
        self._view = None
        if game.sample is None and game.views:
            view = next(iter(game.views.values()))
            self._view = compiled_view(game, view, mesh)
            self._batch = view_batch(game, info, dataset, seed)

    def __call__(self, state: State) -> np.ndarray | None:
        """uint8 (height, width, channels); None of a game that has nothing to show."""
        if self.game.sample is not None:
            return self._samples(state)
        if self._view is None:
            return None
        rows = self._view(state, self._batch, keys.derive(jax.random.key(self.seed), "grid"))
        return arranged(rows, self.made, self.dataset.centres)

    @property
    def made(self) -> Field:
        """What a sample is."""
        return self.info.fields[self.game.makes]

    def _samples(self, state: State) -> np.ndarray:
        key = keys.derive(jax.random.key(self.seed), "grid")
        label = self.game.given.get("label")
        classes = len(label.field.classes) if label is not None else 0
        n, columns, given = samples_for(self.made, self.size), None, {}
        if classes:
            chosen = np.unique(np.linspace(0, classes - 1, min(classes, MOST_ROWS)).round().astype(np.int32))
            columns = max(1, math.ceil(n / len(chosen)))
            n, given = len(chosen) * columns, {"label": np.repeat(chosen, columns)}
        samples = self.sampler(state, key, n, **given)
        return picture(samples, self.made, compared(self.dataset), self.dataset.centres, columns)


def arranged(rows: np.ndarray, field: Field, centres: np.ndarray | None = None) -> np.ndarray:
    """Rows of a view (rows, columns, *shape) as one picture; pairs stand one below the other, as screens are wide."""
    is_tiled = field.kind not in ("points", *COMPARED)
    rows = rows.swapaxes(0, 1) if rows.shape[1] == 2 and is_tiled else rows
    return picture(rows.reshape(-1, *rows.shape[2:]), field, centres=centres, columns=rows.shape[1])
