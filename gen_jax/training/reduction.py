"""How what is computed for a batch becomes one answer: for the batch as a whole, or shard by shard in a fixed order.

Floating-point sums depend on their order, so the same batch split over another number of devices gives other bits. With
virtual shards the split is always the same eight ways, each shard draws noise of its own and is computed by itself, and
the eight answers are added in one fixed tree; how many of them a device works through does not matter.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata
from jax.sharding import Mesh, PartitionSpec

from gen_jax.training import keys
from gen_jax.training.game import Batch, PyTree

Part = Callable[[PyTree, Batch, PyTree], tuple[PyTree, PyTree]]
"""(what all examples share, examples, keys) -> (means over the examples, values with the examples as first axis).

What it computes across examples, such as the statistics of a batch norm, it computes over those that it is given.
"""

Reduction = Callable[[Part, PyTree, Batch, PyTree], tuple[PyTree, PyTree]]
"""(part, shared, batch, keys) -> what `part` gives for the whole batch."""

SHARDS = 8
"""Virtual shards of a batch: a power of two, so that their sum is a balanced tree and their mean exact."""


def whole_batch(part: Part, shared: PyTree, batch: Batch, keys: PyTree) -> tuple[PyTree, PyTree]:
    """All examples at once; XLA splits the work over the devices and adds up in the order that suits it."""
    return part(shared, batch, keys)


class VirtualShards:
    """The batch in eight shards, whatever the devices: the same bits on 1, 2, 4 and 8 of them, in any processes.

    A device holds consecutive shards and adds their answers in pairs, then pairs of pairs; the devices go on with the
    same tree by exchanging sums with a partner at distance 1, 2, 4. Both partners add the same two numbers, and a sum
    of two does not depend on their order.
    """

    def __init__(self, mesh: Mesh, *, unroll: bool):
        """A reduction over the devices of a mesh.

        Args:
          mesh: 1, 2, 4 or 8 devices.
          unroll: whether a device's shards are written out one after another or looped over. XLA's CPU backend is slow
            in loops; elsewhere a loop compiles faster and needs less memory.

        Raises:
          ValueError: the shards cannot be shared out among so many devices.
        """
        if SHARDS % mesh.size:
            raise ValueError(f"{SHARDS} virtual shards cannot be shared out among {mesh.size} devices")
        self.mesh, self.unroll = mesh, unroll

    def __call__(self, part: Part, shared: PyTree, batch: Batch, keys: PyTree) -> tuple[PyTree, PyTree]:
        """Means over all examples, and the values of all examples in order; replicated over the devices."""
        everywhere, split = PartitionSpec(), PartitionSpec(self.mesh.axis_names)

        def on_device(shared: PyTree, batch: Batch, keys: PyTree) -> tuple[PyTree, PyTree]:
            return self._on_device(part, shared, batch, keys)

        # The check of what varies over devices knows no ppermute that ends in the same value everywhere.
        sharded = jax.shard_map(
            on_device,
            mesh=self.mesh,
            in_specs=(everywhere, split, everywhere),
            out_specs=(everywhere, split),
            check_vma=False,
        )
        means, examples = sharded(shared, batch, keys)
        whole = jax.sharding.NamedSharding(self.mesh, everywhere)
        examples = jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, whole), examples)
        return means, examples

    def _on_device(self, part: Part, shared: PyTree, batch: Batch, key: PyTree) -> tuple[PyTree, PyTree]:
        axes = self.mesh.axis_names
        local = SHARDS // self.mesh.size
        first = jax.lax.axis_index(axes) * local
        shards = jax.tree.map(lambda leaf: leaf.reshape(local, len(leaf) // local, *leaf.shape[1:]), batch)

        def one(rows: Batch, number: jax.Array) -> tuple[PyTree, PyTree]:
            return part(shared, rows, jax.tree.map(lambda k: keys.derive(k, "shard", number), key))

        def rows(number: jax.Array) -> Batch:
            return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, number - first, keepdims=False), shards)

        def store(number: jax.Array, stacked: PyTree) -> PyTree:
            answer = one(rows(number), number)
            put = jax.lax.dynamic_update_index_in_dim
            return jax.tree.map(lambda leaf, new: put(leaf, new, number - first, 0), stacked, answer)

        if self.unroll:
            # Traced once, and put in its place by XLA as often as it is called.
            once = jax.jit(one)
            answers = [once(jax.tree.map(lambda x, n=n: x[n], shards), first + n) for n in range(local)]
        else:
            # XLA does not know how often a loop runs that begins at a device's own number, so that it neither unrolls
            # it nor takes a single round of it apart: a shard is the same program on any device.
            shapes = jax.eval_shape(lambda: one(rows(first), first))
            empty = jax.tree.map(lambda leaf: jnp.zeros((local, *leaf.shape), leaf.dtype), shapes)
            stacked = jax.lax.fori_loop(first, first + local, store, empty)
            answers = [jax.tree.map(lambda leaf, n=n: leaf[n], stacked) for n in range(local)]
        sums = self._add([means for means, _ in answers])
        distance = 1
        while distance < self.mesh.size:
            partners = [(device, device ^ distance) for device in range(self.mesh.size)]
            other = jax.tree.map(lambda leaf, to=partners: jax.lax.ppermute(leaf, axes, to), sums)
            sums, distance = self._add([sums, other]), 2 * distance
        means = jax.tree.map(lambda leaf: leaf / SHARDS if inexact(leaf) else leaf, sums)
        return means, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *[examples for _, examples in answers])

    def _add(self, trees: list[PyTree]) -> PyTree:
        if not self.unroll:
            return add_in_tree(trees)
        # A call that XLA may not inline is compiled by itself. Inlined, a sum is fused with the products that it adds,
        # some of them in one rounding, and which depends on how many shards the device has. (The shards themselves as
        # such calls would be safer still, but XLA's CPU convolutions are several times slower there.)
        with set_xla_metadata(inlineable="false"):
            return jax.jit(add_in_tree)(trees)


def inexact(leaf: jax.Array | jax.ShapeDtypeStruct) -> bool:
    """Whether a mean of it can be taken."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def add(one: PyTree, other: PyTree) -> PyTree:
    """The sum of two trees; integers, such as counters, are the same in both and stay as they are."""
    return jax.tree.map(lambda a, b: a + b if inexact(a) else a, one, other)


def add_in_tree(trees: list[PyTree]) -> PyTree:
    """((0 + 1) + (2 + 3)) + …, of a power of two of trees."""
    while len(trees) > 1:
        trees = [add(one, other) for one, other in zip(trees[::2], trees[1::2], strict=True)]
    return trees[0]
