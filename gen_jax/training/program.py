"""The train step compiled for the devices at hand, and dispatched the way that suits them."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from gen_jax.data.batches import BatchSource
from gen_jax.host.memory import return_freed_memory
from gen_jax.kernels.recorded import recorded_convolutions
from gen_jax.training.accumulation import Microbatches
from gen_jax.training.compilation import compiled_together, lowered_for
from gen_jax.training.cpu_parts import CPUParts
from gen_jax.training.game import Array, Batch, Game
from gen_jax.training.reduction import Reduction, VirtualShards, whole_batch
from gen_jax.training.rematerialisation import rematerialised
from gen_jax.training.sharding import ANYWHERE, Layout, replicated, split_batch
from gen_jax.training.state import State
from gen_jax.training.step import Metrics, train_step

KERNEL_AXES = 4
"""Axes of the kernel of a convolution: (height, width, in, out). No other parameter has so many."""


class Program:
    """Advances a state by compiled steps.

    On accelerators many steps are one dispatch, so that Python is out of the way. On a CPU too where no convolution of
    XLA's own is left, because a dispatch takes memory afresh. Where one is left each step is a dispatch of its own,
    without conditionals: XLA's CPU backend runs the backward pass of a convolution ~30x slower inside a loop or a
    conditional. All run the same `train_step`.
    """

    def __init__(
        self,
        game: Game,
        source: BatchSource,
        mesh: Mesh,
        seed: int,
        *,
        shardings: State | None = None,
        reproducible: bool = False,
        cpu_parts: bool = False,
        accumulate: int = 1,
        remat: bool = False,
        loop: bool | None = None,
    ):
        """Nothing is compiled yet.

        Args:
          game: the method.
          source: where batches come from.
          mesh: the devices.
          seed: all randomness is a function of it, the step and names.
          shardings: of the leaves of the state; None: whole on every device.
          reproducible: whether the bits are the same on any number of devices (of those that virtual shards allow).
          cpu_parts: whether each device, of a CPU, computes its part of a batch by itself.
          accumulate: parts into which a batch is cut; 1 where the bits are to be the same everywhere.
          remat: whether activations are computed again in the backward pass.
          loop: whether many steps are one dispatch; None: on accelerators, and where a CPU does not mind.
        """
        self.game, self.source, self.mesh = rematerialised(game) if remat else game, source, mesh
        self.root = jax.random.key(seed)
        on_cpu = mesh.devices.flat[0].platform == "cpu"
        # The virtual devices of a CPU share one pool of threads. With two dispatches in flight the devices of one can
        # take the threads that the other's all-reduce waits for, and XLA ends the process.
        self._waits = on_cpu and mesh.size > 1
        # None until the first dispatch of a CPU has seen the parameters. Where several devices exchange more than
        # one array a turn each step is waited for, and virtual shards are one program on all numbers of devices.
        self.loop = loop
        if loop is None and not on_cpu:
            self.loop = True
        elif loop is None and (reproducible or (mesh.size > 1 and not cpu_parts)):
            self.loop = False
        self.reduce: Reduction = whole_batch
        # Virtual shards and parts say by themselves which device does what.
        self.layout = ANYWHERE if reproducible or cpu_parts else Layout(mesh)
        if reproducible:
            self.reduce = VirtualShards(mesh, unroll=not self.loop)
        elif cpu_parts:
            self.reduce = CPUParts(mesh)
        elif accumulate > 1:
            self.reduce = Microbatches(mesh, accumulate, unroll=not self.loop)
        self._out_shardings = (shardings or replicated(mesh), replicated(mesh))
        # Where every step is the same, and nothing in it is repeated, a step by itself is what a loop repeats.
        self._uniform = all(turn.always and turn.repeat == 1 for turn in game.turns)
        # A step as it was traced, which is not to be traced twice.
        self._traced: Any = None
        self._compiled: dict[tuple[bool, ...] | None, Any] = {}
        self._count = jax.jit(lambda step: step + 1, out_shardings=replicated(mesh))

    def advance(self, state: State, step: int, steps: int) -> tuple[State, int, tuple[Metrics, ...]]:
        """Dispatches up to `steps` steps, and waits for them on several devices of a CPU alone.

        Args:
          state: the state after `step` steps. Donated: it must not be used again.
          step: the number of completed steps.
          steps: the most to take.

        Returns:
          The state, the number of steps completed by now, and the metrics of the last, by turn.
        """
        feed = self.source.feed(step)
        if self._is_looped(state, feed):
            # Only arrays on the device feed many steps; a stream hands over one step at a time.
            steps = steps if self.source.same_feed else 1
            state, metrics = self._run(None, state, feed, self.root, jnp.int32(steps))
        else:
            steps = 1
            state, metrics = self._run(self.game.due(step), state, feed, self.root)
        if self._waits:
            jax.block_until_ready(state)
        return state, step + steps, metrics

    def lower(self, state: State) -> Any:
        """What `advance` dispatches for a state like this after 0 steps, ready to `compile()`; nothing runs.

        Args:
          state: ShapeDtypeStructs with shardings; what the source feeds may be such structs too.
        """
        everywhere = replicated(self.mesh)
        feed = self.source.feed(0)
        root = jax.ShapeDtypeStruct((), self.root.dtype, sharding=everywhere)
        if self._is_looped(state, feed):
            return self._lower(None, state, feed, root, jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere))
        return self._lower(self.game.due(0), state, feed, root)

    def skip(self, state: State, step: int) -> tuple[State, int]:
        """Counts a step without taking it: its batches are left out, and the state stays as it is."""
        self.source.feed(step)
        return dataclasses.replace(state, step=self._count(state.step)), step + 1

    def _is_looped(self, state: State, feed: Any) -> bool:
        """Whether many steps are one dispatch.

        On a CPU they are where no parameter is the kernel of a convolution, or all kernels are those of convolutions
        that the CPU computes in another form than XLA's.
        """
        if self.loop is None:
            kernels = {leaf.shape for leaf in jax.tree.leaves(state.params) if leaf.ndim == KERNEL_AXES}
            self.loop = not kernels
            if kernels:
                # What was traced here is not traced again to be lowered.
                with recorded_convolutions() as found, lowered_for(self.mesh):
                    self._jitted(None).trace(state, feed, self.root, jnp.int32(1))
                self.loop = kernels <= found.keys() and all(found.values())
        return self.loop

    def _run(self, due: tuple[bool, ...] | None, *args: Any) -> tuple[State, tuple[Metrics, ...]]:
        """Dispatches the program for the turns that are due, None for that of many steps; compiles it the first time.

        Of the program only what runs is kept. A jitted function would keep what it was traced to as well: of the
        published DDPM 50 MB.
        """
        if due not in self._compiled:
            lowered = self._lower(due, *args)
            self._traced = None
            self._compiled[due] = compiled_together(lowered)
            del lowered
            return_freed_memory()
        return self._compiled[due](*args)

    def _lower(self, due: tuple[bool, ...] | None, *args: Any) -> Any:
        with lowered_for(self.mesh):
            return self._jitted(due).lower(*args)

    def _jitted(self, due: tuple[bool, ...] | None) -> Any:
        self._traced = self._traced or jax.jit(functools.partial(self._step, due=None))
        function: Any = functools.partial(self._step, due=due)
        if due is None:
            function = functools.partial(self._steps, self._traced)
        elif self._uniform:
            function = self._traced
        return jax.jit(function, donate_argnums=0, out_shardings=self._out_shardings)

    def _step(
        self, state: State, feed: Any, root: Array, *, due: tuple[bool, ...] | None
    ) -> tuple[State, tuple[Metrics, ...]]:
        def draw(step: Array, number: int | Array) -> Batch:
            batch = dict(self.source.batch(feed, step, number))
            return jax.lax.with_sharding_constraint(batch, split_batch(self.mesh))

        # What is due is known of a step by itself; in a loop it is a conditional, and repeats are a loop too.
        alone = due is not None
        return train_step(self.game, draw, state, root, due=due, unroll=alone, reduce=self.reduce, layout=self.layout)

    def _steps(
        self, step: Any, state: State, feed: Any, root: Array, steps: Array
    ) -> tuple[State, tuple[Metrics, ...]]:
        def body(_: Array, loop: tuple[State, Any]) -> tuple[State, tuple[Metrics, ...]]:
            return step(loop[0], feed, root)

        shapes = jax.eval_shape(body, 0, (state, ()))[1]
        metrics = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.fori_loop(0, steps, body, (state, metrics))
