"""Where arrays live: a mesh of all devices, over which the batch is split.

One program runs on every device (SPMD); `jit` splits it by the shardings of its arguments and inserts the collectives.
"""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """All devices in a mesh of axes (`data`, `fsdp`), for now with every device along `data`.

    Auto axes: XLA propagates shardings through the step. (`jax.make_mesh` would make them Explicit.)
    """
    grid = np.array(jax.devices() if devices is None else devices).reshape(-1, 1)
    return Mesh(grid, ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The array's `axis` split over all devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, mesh.axis_names))
