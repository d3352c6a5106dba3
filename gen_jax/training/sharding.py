"""Where arrays live: a mesh of all devices, over which the batch is split.

One program runs on every device (SPMD); `jit` splits it by the shardings of its arguments and inserts the collectives.
"""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gen_jax.training.game import PyTree


def make_mesh(devices: list[jax.Device] | None = None, fsdp: int = 1) -> Mesh:
    """All devices, or those given, in a mesh of axes (`data`, `fsdp`).

    Auto axes: XLA propagates shardings through the step. (`jax.make_mesh` would make them Explicit.)

    Raises:
      ValueError: `fsdp` does not divide the number of devices.
    """
    grid = np.array(jax.devices() if devices is None else devices).reshape(-1, fsdp)
    return Mesh(grid, ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicated_like(leaves: Iterable[Any]) -> NamedSharding | None:
    """Gives every process the whole of what is computed from the leaves; None where they do not span several."""
    for leaf in leaves:
        sharding = getattr(leaf, "sharding", None)
        if isinstance(sharding, NamedSharding) and not sharding.is_fully_addressable:
            return NamedSharding(sharding.mesh, PartitionSpec())
    return None


def split_batch(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The array's `axis` split over all devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, mesh.axis_names))


def state_shardings(mesh: Mesh, state: PyTree) -> PyTree:
    """Every leaf split over `fsdp` along its largest axis that can be, and whole where none can.

    Args:
      mesh: the devices.
      state: arrays or ShapeDtypeStructs.
    """
    parts = mesh.shape["fsdp"]

    def sharding(leaf: Any) -> NamedSharding:
        divisible = [axis for axis, size in enumerate(leaf.shape) if size % parts == 0]
        if parts == 1 or not divisible:
            return replicated(mesh)
        axis = max(divisible, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "fsdp"))

    return jax.tree.map(sharding, state)


class Layout:
    """Says inside `jit` where arrays are to lie, where XLA would have to guess.

    What the state holds in parts is brought together before it is used, and only examples are ever split (the third
    stage of Rajbhandari et al., ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, arXiv
    1910.02054). Left to itself XLA splits the activations along their channels instead, as the parameters are.
    """

    def __init__(self, mesh: Mesh):
        """On these devices."""
        self.mesh = mesh

    def whole(self, tree: PyTree) -> PyTree:
        """The arrays, each brought together on every device."""
        return jax.lax.with_sharding_constraint(tree, replicated(self.mesh))

    def split(self, examples: PyTree) -> PyTree:
        """The arrays with their first axis split over all devices; as they are where it cannot be.

        What is asked of a result XLA asks of all that it is made of, noise that was drawn for each example included.
        """
        split = split_batch(self.mesh)
        return jax.tree.map(
            lambda leaf: leaf if len(leaf) % self.mesh.size else jax.lax.with_sharding_constraint(leaf, split), examples
        )

    def as_state(self, tree: PyTree) -> PyTree:
        """The arrays as the state holds such arrays, such as gradients.

        They are first asked for whole: what is asked of a gradient alone XLA asks of the activations that it is made of
        too, whose channels it would split. Where it can, it makes one exchange of the two.
        """
        return jax.lax.with_sharding_constraint(self.whole(tree), state_shardings(self.mesh, tree))


class Anywhere(Layout):
    """Says nothing: on one device, or where each device is told by itself what to do (`jax.shard_map`)."""

    def __init__(self) -> None:
        """On any devices."""

    def whole(self, tree: PyTree) -> PyTree:
        """The same."""
        return tree

    def split(self, examples: PyTree) -> PyTree:
        """The same."""
        return examples

    def as_state(self, tree: PyTree) -> PyTree:
        """The same."""
        return tree


ANYWHERE = Anywhere()
