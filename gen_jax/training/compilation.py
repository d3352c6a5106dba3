"""Compiling in several processes."""

import contextlib
import itertools
from typing import Any

import jax
from jax.sharding import Mesh

# Processes on one machine may compile one after another, and a large program takes minutes.
PATIENCE_MS = 60 * 60 * 1000
_numbers = itertools.count()


class CompiledTogether:
    """A jitted function that no process begins to run before all have compiled it.

    The first exchange of a program waits for the other processes for 30 seconds at most, on CPU at least (gloo). Where
    several compile on one machine, or one finds the program in its cache, they are further apart than that.
    """

    def __init__(self, jitted: Any, mesh: Mesh | None = None):
        """All processes must call it with the same arguments in the same order.

        Args:
          jitted: what `jax.jit` returns.
          mesh: the devices that it is for, where what it is made of asks for their number.
        """
        self._jitted = jitted
        self._mesh = mesh
        self._compiled: set[Any] = set()

    def __call__(self, *args: Any, **static: Any) -> Any:
        """What the function returns.

        Args:
          *args: its arrays.
          **static: its static arguments.
        """
        if jax.process_count() > 1:
            leaves = jax.tree.leaves(args)
            shapes = tuple((leaf.shape, str(leaf.dtype), getattr(leaf, "sharding", None)) for leaf in leaves)
            key = jax.tree.structure(args), shapes, tuple(sorted(static.items()))
            if key not in self._compiled:
                # What is compiled here is found by the call below.
                compiled_together(self.lower(*args, **static))
                self._compiled.add(key)
        with lowered_for(self._mesh):
            return self._jitted(*args, **static)

    def lower(self, *args: Any, **static: Any) -> Any:
        """The function lowered for arguments of such shapes and shardings, ready to `compile()`; nothing runs."""
        with lowered_for(self._mesh):
            return self._jitted.lower(*args, **static)


def lowered_for(mesh: Mesh | None) -> contextlib.AbstractContextManager[Any]:
    """Within it, what is traced finds the devices of a program in `jax.sharding.get_abstract_mesh()`."""
    return contextlib.nullcontext() if mesh is None else jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def compiled_together(lowered: Any) -> Any:
    """What was lowered, compiled; with several processes not before all have compiled theirs."""
    compiled = lowered.compile()
    if jax.process_count() > 1:
        wait_for_all()
    return compiled


def wait_for_all() -> None:
    """Until every process is here, without an exchange between devices."""
    from orbax.checkpoint import multihost

    multihost.get_barrier_sync_fn()(key=f"compiled-{next(_numbers)}", timeout_ms=PATIENCE_MS)
