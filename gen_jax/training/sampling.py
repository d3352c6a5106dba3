"""Samples of a game, restored to what the data look like."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.training import keys
from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.game import Array, Game
from gen_jax.training.sharding import ANYWHERE, Layout, replicated
from gen_jax.training.state import State


class Sampler:
    """Draws samples with the averaged weights where the game keeps them."""

    def __init__(self, game: Game, mesh: Mesh, chunk: int = 256, *, alone: bool = False):
        """Nothing is compiled yet.

        Args:
          game: the method.
          mesh: the devices that hold the state. They share the work where their number divides that of the samples
            drawn at once, and each gets all samples in the end.
          chunk: at most so many samples are drawn at once, which bounds the memory.
          alone: whether to draw on one device, so that the bits do not depend on how many there are; the state must
            then be whole on it.
        """
        self.game, self.chunk, self.alone = game, chunk, alone
        self.layout = ANYWHERE if alone else Layout(mesh)
        everywhere = None if alone else replicated(mesh)
        jitted = jax.jit(self._restored, static_argnames="n", out_shardings=everywhere)
        self._sample = CompiledTogether(jitted, None if alone else mesh)

    def __call__(self, state: State, key: Array, n: int, **condition: Any) -> np.ndarray:
        """n samples: uint8 images (n, height, width, channels) or float32 points (n, 2).

        Args:
          state: whose parameters to use.
          key: the same key and n give the same samples.
          n: how many.
          **condition: what the method's `sample` takes beside; arrays whose first axis has length n.
        """
        return np.concatenate(list(self.stream(state, key, n, **condition)))

    def stream(self, state: State, key: Array, n: int, **condition: Any) -> Iterator[np.ndarray]:
        """The same samples in parts, each drawn when it is asked for, so that many need no memory."""
        chunk = min(n, self.chunk)
        nets = state.sampling_params, state.variables
        if self.alone:
            nets = jax.tree.map(lambda leaf: leaf.addressable_data(0), nets)
        for number, start in enumerate(range(0, n, chunk)):
            rows = np.minimum(np.arange(start, start + chunk), n - 1)
            part = {name: np.asarray(values)[rows] for name, values in condition.items()}
            part_key = keys.derive(key, "chunk", number)
            yield jax.device_get(self._sample(*nets, part_key, part, n=chunk))[: n - start]

    def lower(self, state: State) -> Any:
        """The drawing of one whole chunk from a state like this, ready to `compile()`; nothing runs.

        Args:
          state: ShapeDtypeStructs with shardings.
        """
        key = jax.eval_shape(jax.random.key, 0)
        return self._sample.lower(state.sampling_params, state.variables, key, {}, n=self.chunk)

    def _restored(self, params: Any, variables: Any, key: Array, condition: dict[str, Array], *, n: int) -> Any:
        params, variables = self.layout.whole((params, variables))
        condition = self.layout.split(condition)
        return self.game.transform.restore(self.layout.split(self.game.sample(params, variables, key, n, **condition)))
