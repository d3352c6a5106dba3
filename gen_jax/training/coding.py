"""Codes of examples, and examples of codes, by a game's codec; compiled, a chunk at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.errors import ConfigError
from gen_jax.training import keys
from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.game import Array, Game
from gen_jax.training.given import encoded, listed
from gen_jax.training.sharding import replicated
from gen_jax.training.state import State


class Coder:
    """Encodes and decodes with the averaged weights where the game keeps them."""

    def __init__(self, game: Game, mesh: Mesh, chunk: int = 256):
        """Nothing is compiled yet.

        Args:
          game: the method.
          mesh: the devices that hold the state.
          chunk: at most so many examples are in memory at once.
        """
        self.game, self.chunk = game, chunk
        everywhere = replicated(mesh)
        self._encode = CompiledTogether(jax.jit(self._encoded, out_shardings=everywhere), mesh)
        self._decode = CompiledTogether(jax.jit(self._decoded, out_shardings=everywhere), mesh)

    def encode(self, state: State, x: np.ndarray, key: Array, **given: Any) -> np.ndarray:
        """Codes (n, *codes) of examples x (n, *shape) as stored.

        Raises:
          ConfigError: the game has no encoder, or is not given what it needs.
        """
        self.game.require("encode")
        return self._in_chunks(self._encode, state, x, key, given)

    def decode(self, state: State, codes: np.ndarray, key: Array, **given: Any) -> np.ndarray:
        """Examples (n, *shape) as stored, of codes (n, *codes).

        Raises:
          ConfigError: the game has no decoder, is not given what it needs, or the codes have another shape.
        """
        self.game.require("decode")
        assert self.game.codec is not None
        field = self.game.codec.codes
        if codes.shape[1:] != field.shape:
            raise ConfigError(f"codes have shape {codes.shape}; accepted: {('n', *field.shape)}")
        return self._in_chunks(self._decode, state, codes.astype(field.dtype), key, given)

    def _in_chunks(
        self, function: Callable[..., Array], state: State, rows: np.ndarray, key: Array, given: Mapping[str, Any]
    ) -> np.ndarray:
        n = len(rows)
        asked = encoded(self.game, given, n)
        missing = {name: None for name in self.game.given if name not in asked}
        if missing:
            raise ConfigError(f"{listed(missing)} is missing: the codec of this method depends on it")
        parts, chunk = [], min(n, self.chunk)
        for number, start in enumerate(range(0, n, chunk)):
            # The last chunk repeats its last row, so that one program serves all.
            at = np.minimum(np.arange(start, start + chunk), n - 1)
            some = {name: values[at] for name, values in asked.items()}
            made = function(state.sampling_params, state.variables, rows[at], keys.derive(key, "chunk", number), some)
            parts.append(jax.device_get(made)[: n - start])
        return np.concatenate(parts)

    def _seen(self, given: Mapping[str, Array], key: Array) -> dict[str, Array]:
        return self.game.transformed(given, key, train=False)

    def _encoded(self, params: Any, variables: Any, x: Array, key: Array, given: dict[str, Array]) -> Array:
        codec = self.game.codec
        assert codec is not None
        assert codec.encode is not None
        batch = self._seen({**given, "x": x}, keys.derive(key, "transform"))
        return codec.encode(params, variables, batch.pop("x"), keys.derive(key, "encode"), **batch)

    def _decoded(self, params: Any, variables: Any, codes: Array, key: Array, given: dict[str, Array]) -> Array:
        codec = self.game.codec
        assert codec is not None
        seen = self._seen(given, keys.derive(key, "transform"))
        x: Any = self.game.restored(codec.decode(params, variables, codes, keys.derive(key, "decode"), **seen), "x")
        return x
