"""A configured run on devices: everything of it but its state, which is made here too."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax.config import Config
from gen_jax.data import BatchSource, Split, Streams, open_source
from gen_jax.data.dataset import INDEX, index_of
from gen_jax.data.info import DataInfo
from gen_jax.run.warm_start import warm_started
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.game import Game
from gen_jax.training.pretrained import Pretrained
from gen_jax.training.program import Program
from gen_jax.training.sharding import replicated, split_batch, state_shardings
from gen_jax.training.state import State, init_state

# A program that runs once need not be optimised: the initial state of a small U-Net takes XLA a quarter of the time to
# compile, and has the same bits.
RUN_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def initial_state(game: Game, info: DataInfo, key: jax.Array) -> State:
    """The state before the first step, on data as described."""
    return init_state(game, key, example(info))


def example(info: DataInfo) -> dict[str, jax.Array]:
    """A batch of one, transformed, of data as described: zeros, in float32 or for what is counted in int32."""
    batch = {
        name: jnp.zeros((1, *field.shape), jnp.int32 if field.dtype == np.int32 else jnp.float32)
        for name, field in info.fields.items()
    }
    return batch | {name: jnp.zeros(1, jnp.int32) for name in (INDEX, *map(index_of, info.streams))}


def state_shapes(game: Game, info: DataInfo) -> State:
    """The state as ShapeDtypeStructs."""
    return jax.eval_shape(functools.partial(initial_state, game, info), jax.random.key(0))


def wanted_state(game: Game, info: DataInfo, mesh: Mesh, shapes: State | None = None) -> State:
    """The state as ShapeDtypeStructs that say where each array belongs; `shapes` is what `state_shapes` gives."""
    shapes = shapes or state_shapes(game, info)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(mesh, shapes),
    )


@dataclass(frozen=True)
class Setup:
    """A configured run on devices.

    Attributes:
      config: the configuration.
      info: what it learns from.
      game: the method.
      mesh: the devices.
      init_from: the run with whose networks it begins, where they fit; None: with new ones.
      cpu_parts: in which the devices of a CPU, as many, compute a batch; 1: not in parts.
      shapes: of the state, where they are known already.
    """

    config: Config
    info: DataInfo
    game: Game
    mesh: Mesh
    init_from: Pretrained | None = None
    cpu_parts: int = 1
    shapes: State | None = None

    @functools.cached_property
    def wanted(self) -> State:
        """The state as ShapeDtypeStructs with shardings."""
        return wanted_state(self.game, self.info, self.mesh, self.shapes)

    def source(self, split: Split | Streams, start: int) -> BatchSource:
        """Where the batches of step `start` and those after it come from."""
        return open_source(
            split,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            draws=self.game.draws,
            sharding=replicated(self.mesh),
            stream_sharding=split_batch(self.mesh, axis=1),
            start=start,
        )

    def program(self, source: BatchSource) -> Program:
        """The train step, fed from a source; nothing is compiled yet."""
        return Program(
            self.game,
            source,
            self.mesh,
            self.config.seed,
            shardings=state_shardings(self.mesh, self.wanted),
            reproducible=self.config.reproducible,
            cpu_parts=self.cpu_parts > 1,
            accumulate=self.config.accumulate,
            remat=self.config.remat,
        )

    def begin(self, checkpoints: Checkpoints, split: Split | Streams) -> tuple[int | None, State]:
        """The newest intact checkpoint and its step, or None and the initial state where nothing was ever saved."""
        found = checkpoints.restore_newest(self.wanted)
        return found if found is not None else (None, self.initial(split))

    def initial(self, split: Split | Streams) -> State:
        """The state before the first step, which may have looked at the first batch."""

        def make(key: jax.Array, given_nets: Any, first: Any) -> State:
            return init_state(self.game, key, example(self.info), given_nets, first)

        options = RUN_ONCE if self.mesh.devices.flat[0].platform == "cpu" else {}
        make_state = jax.jit(make, out_shardings=state_shardings(self.mesh, self.wanted), compiler_options=options)
        first = None if self.game.prepare is None else self.first_batch(split)
        given = jax.device_put(dict(self.game.given_nets), replicated(self.mesh))
        state = make_state(jax.random.key(self.config.seed), given, first)
        return state if self.init_from is None else warm_started(state, self.init_from)

    def first_batch(self, split: Split | Streams) -> dict[str, jax.Array]:
        """The first batch of the run as it is stored, whole on every device, so that all compute the same of it."""
        source = self.source(split, 0)
        try:
            draw = jax.jit(lambda feed: dict(source.batch(feed, 0, 0)), out_shardings=replicated(self.mesh))
            return draw(source.feed(0))
        finally:
            source.close()
