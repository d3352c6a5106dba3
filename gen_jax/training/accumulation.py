"""A batch in parts, one after another, whose gradients are averaged before the optimizer moves.

Only the activations of one part have to be in memory at a time.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from gen_jax.training import keys
from gen_jax.training.game import Array, Batch, PyTree
from gen_jax.training.reduction import Part, inexact
from gen_jax.training.sharding import split_batch, state_shardings


class Microbatches:
    """The batch in equal parts: part i of n has the examples i, i + n, i + 2n, …, so that no example changes devices.

    Each part draws noise of its own and is computed by itself. Of a loss without noise the answer is that of the whole
    batch, up to rounding. A batch norm sees a part at a time, and its statistics become the mean of what the parts,
    each beginning with the old ones, would have made of them.
    """

    def __init__(self, mesh: Mesh, parts: int, *, unroll: bool):
        """A reduction over the devices of a mesh.

        Args:
          mesh: the devices.
          parts: into how many a batch is cut; its size is a multiple of that many times the devices.
          unroll: whether parts are written out one after another or looped over. XLA's CPU backend is slow in loops;
            elsewhere a loop compiles faster, and keeps the memory to that of one part.
        """
        self.mesh, self.parts, self.unroll = mesh, parts, unroll

    def __call__(self, part: Part, shared: PyTree, batch: Batch, key: PyTree) -> tuple[PyTree, PyTree]:
        """Means over all examples, and the values of all examples in order."""

        def one(number: Array, rows: Batch) -> tuple[PyTree, PyTree]:
            return part(shared, rows, jax.tree.map(lambda k: keys.derive(k, "microbatch", number), key))

        def add(sums: PyTree, numbered: tuple[Array, Batch]) -> tuple[PyTree, PyTree]:
            number, rows = numbered
            means, examples = one(number, made_after(sums, rows) if self.unroll else rows)
            return self._like_the_state(jax.tree.map(plus, sums, means)), examples

        def mean(total: Array, like: jax.ShapeDtypeStruct) -> Array:
            return (total / self.parts).astype(like.dtype) if inexact(like) else total

        parts = jnp.arange(self.parts), jax.tree.map(self._cut, batch)
        like, _ = jax.eval_shape(one, *jax.tree.map(lambda leaf: leaf[0], parts))
        sums = self._like_the_state(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, sum_dtype(leaf)), like))
        sums, examples = jax.lax.scan(add, sums, parts, unroll=self.parts if self.unroll else 1)
        return jax.tree.map(mean, sums, like), jax.tree.map(self._joined, examples)

    def _cut(self, leaf: Array) -> Array:
        """(batch, ...) -> (parts, batch / parts, ...)."""
        cut = leaf.reshape(len(leaf) // self.parts, self.parts, *leaf.shape[1:]).swapaxes(0, 1)
        return jax.lax.with_sharding_constraint(cut, split_batch(self.mesh, axis=1))

    def _joined(self, leaf: Array) -> Array:
        """The inverse of `_cut`."""
        return jax.lax.collapse(leaf.swapaxes(0, 1), 0, 2)

    def _like_the_state(self, sums: PyTree) -> PyTree:
        """Gradients are split over devices as their parameters are."""
        return jax.lax.with_sharding_constraint(sums, state_shardings(self.mesh, sums))


def sum_dtype(leaf: jax.ShapeDtypeStruct) -> jnp.dtype:
    """float32 or wider, for what can be added up; bfloat16 would lose the smaller parts."""
    return jnp.promote_types(leaf.dtype, jnp.float32) if inexact(leaf) else leaf.dtype


def plus(total: Array, leaf: Array) -> Array:
    """A sum that goes on; integers, such as counters, are the same in every part and stay as they are."""
    return total + leaf.astype(total.dtype) if inexact(leaf) else leaf


def made_after(sums: PyTree, rows: Batch) -> Batch:
    """The rows as they are, made to depend on the sums, so that XLA begins with no part before the last is done.

    Parts that are written out need nothing of each other and would be in memory side by side. XLA's CPU backend does
    without `optimization_barrier`, but it cannot know that no sum is NaN; and where one is, it stays NaN.
    """
    one_of_each = [leaf.ravel()[0] for leaf in jax.tree.leaves(sums) if inexact(leaf)]
    done = sum(one_of_each, jnp.float32(0))
    return jax.tree.map(lambda leaf: jnp.where(done == done, leaf, jnp.zeros((), leaf.dtype)), rows)
