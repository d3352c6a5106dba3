"""Compiling in several processes."""

import itertools
from typing import Any

import jax

# Processes on one machine may compile one after another, and a large program takes minutes.
PATIENCE_MS = 60 * 60 * 1000
_numbers = itertools.count()


class CompiledTogether:
    """A jitted function that no process begins to run before all have compiled it.

    The first exchange of a program waits for the other processes for 30 seconds at most, on CPU at least (gloo). Where
    several compile on one machine, or one finds the program in its cache, they are further apart than that.
    """

    def __init__(self, jitted: Any):
        """`jitted`: what `jax.jit` returns. All processes must call it with the same arguments in the same order."""
        self._jitted = jitted
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
        return self._jitted(*args, **static)

    def lower(self, *args: Any, **static: Any) -> Any:
        """The function lowered for arguments of such shapes and shardings, ready to `compile()`; nothing runs."""
        return self._jitted.lower(*args, **static)


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
