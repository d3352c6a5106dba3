import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from gen_jax.training.sharding import make_mesh, replicated, split_batch


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_mesh_has_all_devices_along_data_and_axes_that_xla_partitions(count):
    mesh = make_mesh(jax.devices()[:count])
    assert dict(mesh.shape) == {"data": count, "fsdp": 1}
    assert mesh.devices[:, 0].tolist() == jax.devices()[:count]
    assert mesh.axis_types == (AxisType.Auto, AxisType.Auto)


def test_a_mesh_takes_all_devices_unless_told():
    assert make_mesh().size == len(jax.devices()) == 8


def test_a_replicated_array_is_whole_on_every_device():
    array = jax.device_put(np.arange(6.0).reshape(3, 2), replicated(make_mesh()))
    assert [shard.data.tolist() for shard in array.addressable_shards] == [[[0, 1], [2, 3], [4, 5]]] * 8


@pytest.mark.parametrize("axis", [0, 1])
def test_a_batch_is_split_along_its_axis_in_the_order_of_the_devices(axis):
    values = np.arange(48).reshape((16, 3) if axis == 0 else (3, 16))
    array = jax.device_put(values, split_batch(make_mesh(), axis))
    for number, device in enumerate(jax.devices()):
        (shard,) = (shard for shard in array.addressable_shards if shard.device == device)
        np.testing.assert_array_equal(shard.data, np.split(values, 8, axis)[number])


def test_a_batch_is_split_over_both_axes_of_the_mesh():
    mesh = make_mesh()
    assert split_batch(mesh).spec == PartitionSpec(("data", "fsdp"))
    assert split_batch(mesh, 1).spec == PartitionSpec(None, ("data", "fsdp"))


def test_the_mean_over_a_split_batch_is_that_over_all_devices():
    mesh = make_mesh()
    values = jax.device_put(jnp.arange(16.0), split_batch(mesh))
    mean = jax.jit(jnp.mean, out_shardings=replicated(mesh))(values)
    assert [float(shard.data) for shard in mean.addressable_shards] == [7.5] * 8
