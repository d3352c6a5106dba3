"""A batch in as many parts as a CPU is devices, each computed by one of them, and one exchange that adds everything up.

XLA gives much of a convolutional network, such as batches of small products, to a single core, and two devices keep two
busy. Left to itself it would put an exchange wherever a sum goes over the batch. The virtual devices of a CPU share one
pool of threads and begin exchanges in any order: each of two devices then waits for the other in another one, and XLA
ends the process. Of a single exchange there is no order.
"""

import jax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from gen_jax.training import keys
from gen_jax.training.game import Batch, PyTree
from gen_jax.training.reduction import Part, inexact


class CPUParts:
    """Each device's part of the batch by itself.

    A part draws noise of its own, and a batch norm in it sees that part; its statistics become the mean of what the
    parts make of them. Of a loss without noise the answer is that of the whole batch, up to rounding.
    """

    def __init__(self, mesh: Mesh):
        """A reduction over the devices of a mesh, all of one process."""
        self.mesh = mesh

    def __call__(self, part: Part, shared: PyTree, batch: Batch, key: PyTree) -> tuple[PyTree, PyTree]:
        """Means over all examples, and the values of all examples in order."""
        axes = self.mesh.axis_names
        everywhere, split = PartitionSpec(), PartitionSpec(axes)

        def on_device(shared: PyTree, rows: Batch, key: PyTree) -> tuple[PyTree, PyTree]:
            number = jax.lax.axis_index(axes)
            means, examples = part(shared, rows, jax.tree.map(lambda k: keys.derive(k, "part", number), key))
            return self._mean(means), examples

        # The check of what varies over devices does not know that integers are the same in all parts.
        return jax.shard_map(
            on_device,
            mesh=self.mesh,
            in_specs=(everywhere, split, everywhere),
            out_specs=(everywhere, split),
            check_vma=False,
        )(shared, batch, key)

    def _mean(self, means: PyTree) -> PyTree:
        """Over the devices; integers, such as counters, are the same in every part and stay as they are."""
        leaves, structure = jax.tree.flatten(means)
        vector, restored = ravel_pytree([leaf for leaf in leaves if inexact(leaf)])
        averaged = iter(restored(jax.lax.pmean(vector, self.mesh.axis_names)))
        return jax.tree.unflatten(structure, [next(averaged) if inexact(leaf) else leaf for leaf in leaves])
