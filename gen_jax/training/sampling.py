"""Samples of a game, restored to what the data look like."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.training import keys
from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.game import Array, Game
from gen_jax.training.given import encoded
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

    def __call__(self, state: State, key: Array, n: int, **given: Any) -> np.ndarray:
        """n samples as the data are stored, such as uint8 images (n, height, width, channels).

        Args:
          state: whose parameters to use.
          key: the same key, n and conditions give the same samples.
          n: how many.
          **given: what is asked of the samples, see `gen_jax.training.given`; the rest is drawn.

        Raises:
          ConfigError: the game makes no samples, or takes no such conditions.
        """
        return np.concatenate(list(self.stream(state, key, n, **given)))

    def stream(self, state: State, key: Array, n: int, **given: Any) -> Iterator[np.ndarray]:
        """The same samples in parts, each drawn when it is asked for, so that many need no memory."""
        self.game.require("sample")
        asked = encoded(self.game, given, n)
        return self._stream(state, key, n, asked)

    def _stream(self, state: State, key: Array, n: int, asked: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
        chunk = min(n, self.chunk)
        nets = state.sampling_params, state.variables
        if self.alone:
            nets = jax.tree.map(lambda leaf: leaf.addressable_data(0), nets)
        for number, start in enumerate(range(0, n, chunk)):
            rows = np.minimum(np.arange(start, start + chunk), n - 1)
            part = {name: values[rows] for name, values in asked.items()}
            part_key = keys.derive(key, "chunk", number)
            yield jax.device_get(self._sample(*nets, part_key, part, n=chunk))[: n - start]

    def lower(self, state: State) -> Any:
        """The drawing of one whole chunk from a state like this, ready to `compile()`; nothing runs.

        Args:
          state: ShapeDtypeStructs with shardings.
        """
        key = jax.eval_shape(jax.random.key, 0)
        needed = {name: given.field for name, given in self.game.given.items() if given.draw is None}
        part = {name: np.zeros((self.chunk, *field.shape), field.dtype) for name, field in needed.items()}
        return self._sample.lower(state.sampling_params, state.variables, key, part, n=self.chunk)

    def _restored(self, params: Any, variables: Any, key: Array, asked: dict[str, Array], *, n: int) -> Any:
        game = self.game
        assert game.sample is not None
        params, variables = self.layout.whole((params, variables))
        drawn = {
            name: given.draw(keys.derive(key, "given", name), n)
            for name, given in game.given.items()
            if name not in asked and given.draw is not None
        }
        given = game.transformed(self.layout.split({**drawn, **asked}), key, train=False)
        return game.restored(self.layout.split(game.sample(params, variables, key, n, **given)))
