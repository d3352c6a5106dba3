import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.data.aligned import aligned
from gen_jax.data.batches import place
from gen_jax.data.dataset import Split


@pytest.mark.parametrize("shift", range(0, 64, 16))
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_array_anywhere_in_memory_keeps_its_values_and_is_read_only(shift, dtype):
    array = np.arange(64 + 60, dtype=dtype)[shift // np.dtype(dtype).itemsize :][:60].reshape(3, 4, 5)
    found = aligned(array)
    assert found.ctypes.data % 64 == 0
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1
    array[0] = 1


def test_an_array_that_lies_well_is_not_copied_and_one_with_gaps_is():
    array = aligned(np.zeros((4, 64), np.uint8))
    assert np.shares_memory(aligned(array), array)
    assert aligned(array[:, ::2]).flags.c_contiguous
    assert aligned(np.zeros((0, 2), np.float32)).shape == (0, 2)


def test_all_devices_of_a_cpu_have_the_memory_of_the_split():
    devices = jax.local_devices(backend="cpu")
    array = Split(8, {"x": np.arange(8 * 1024, dtype=np.uint8).reshape(8, 1024)}).arrays["x"]
    everywhere = NamedSharding(Mesh(np.array(devices), ("data",)), PartitionSpec())
    placed = place(array, everywhere)
    found = {part.data.unsafe_buffer_pointer() for part in placed.addressable_shards}
    assert len(devices) > 1
    assert found == {array.ctypes.data}
    np.testing.assert_array_equal(placed, array)
