"""Where the train step gets its batches from: arrays on the device, or a stream. The step need not know which.

Either way batch `step * draws + draw` is a pure function of the seed and that number. So the position in the data is
the step, nothing about it is stored, and both sources give the same batches.
"""

import math
import os
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Int32

from gen_jax.data.dataset import INDEX, Arrays, Split, Streams
from gen_jax.data.shuffle import batch_indices
from gen_jax.errors import ConfigError

Feed = dict[str, Any]
Batch = dict[str, jax.Array]
Counter = Int[Array, ""] | int


@runtime_checkable
class BatchSource(Protocol):
    """Gives raw batches: an array (B, ...) for each field, as stored, and "index" int32 (B,), where the rows lie."""

    same_feed: bool
    """Whether one feed serves every step, so that many steps can be one dispatch."""

    def feed(self, step: int) -> Feed:
        """What the loop hands to the jitted step number `step` as an argument. Called once a step, in order."""
        ...

    def batch(self, feed: Feed, step: Counter, draw: Counter) -> Batch:
        """Batch number `draw` of a step's `draws`, from its `feed`; for use inside jit, where both may be traced."""
        ...

    def close(self) -> None:
        """Let go of threads and memory."""
        ...


class Resident:
    """The whole split lives on the device, and batches are gathered there.

    An example is one row of numbers, on its way to the device too. Of images (N, height, width, 3) as they are, a TPU
    fills the last axis up to 128, and XLA would bring them into another order at each dispatch, which takes four times
    their memory again.
    """

    same_feed = True

    def __init__(
        self, split: Split, *, batch_size: int, seed: int, draws: int, sharding: jax.sharding.Sharding | None = None
    ) -> None:
        """Put the split's arrays on the device.

        Args:
            split: one with arrays.
            batch_size: examples a batch, over all devices.
            seed: of the run.
            draws: batches a step.
            sharding: where the arrays go, usually replicated over the mesh; None for the default device.
        """
        if split.arrays is None:
            raise ValueError("this split streams: use Streamed, or open_source, which picks")
        _check_batch_size(batch_size, split.size)
        self.size, self.batch_size, self.seed, self.draws = split.size, batch_size, seed, draws
        self.row_shapes = {name: array.shape[1:] for name, array in split.arrays.items()}
        self.sharding = sharding
        self._arrays = {
            name: place(array.reshape(len(array), *flat_shape(array.shape[1:])), sharding)
            for name, array in split.arrays.items()
        }

    def feed(self, step: int) -> Feed:
        """The arrays, an example a row: an argument, because what a jitted function closes over becomes a constant."""
        return self._arrays

    def batch(self, feed: Feed, step: Counter, draw: Counter) -> Batch:
        """Gather the rows of batch `step * draws + draw`."""
        index = self._index(jnp.asarray(step, jnp.int32) * self.draws + draw)
        rows = {name: array[index].reshape(-1, *self.row_shapes[name]) for name, array in feed.items()}
        return {**rows, INDEX: index}

    def _index(self, number: Int[Array, ""]) -> Int32[Array, " batch"]:
        """Where the rows of a batch are; each device of a mesh finds those of its own part."""

        def of_part(number: Int[Array, ""], positions: Int32[Array, " part"]) -> Int32[Array, " part"]:
            return batch_indices(self.seed, number, self.batch_size, self.size, positions)

        everything = jnp.arange(self.batch_size, dtype=jnp.int32)
        if not isinstance(self.sharding, NamedSharding):
            return of_part(number, everything)
        # Left to XLA the devices would have to agree on the end of the walk in each round, or each do all of it.
        mesh = self.sharding.mesh
        everywhere, split = PartitionSpec(), PartitionSpec(mesh.axis_names)
        return jax.shard_map(of_part, mesh=mesh, in_specs=(everywhere, split), out_specs=split)(number, everything)

    def close(self) -> None:
        """Drop the arrays."""
        self._arrays = {}


class Streamed:
    """Batches are read and decoded in threads ahead of their use, and put on the device as they are ready.

    An example is one row of numbers, as in `Resident`.
    """

    same_feed = False

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        seed: int,
        draws: int,
        sharding: jax.sharding.Sharding | None = None,
        start: int = 0,
        threads: int = min(16, os.cpu_count() or 1),
        prefetch: int = 8,
    ) -> None:
        """Start reading.

        Args:
            split: any split.
            batch_size: examples a batch, over all devices and processes; each process reads only the rows it needs.
            seed: of the run.
            draws: batches a step.
            sharding: of the stacked arrays (draws, batch_size, ...): the batch is axis 1; None for the default device.
            start: the first step that will be asked for.
            threads: steps that are read at the same time.
            prefetch: steps that are kept ready on the device, or on their way to it.
        """
        import grain

        _check_batch_size(batch_size, split.size)
        self.size, self.batch_size, self.seed, self.draws = split.size, batch_size, seed, draws
        self._split, self._sharding, self._next = split, sharding, start
        self.row_shapes: dict[str, tuple[int, ...]] = {}
        self._rows = _local_rows(sharding, draws, batch_size)
        steps = grain.MapDataset.range(start, np.iinfo(np.int32).max // draws).map(self._read)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
        self._iterator = iter(steps.to_iter_dataset(options))

    def feed(self, step: int) -> Feed:
        """The step's batches, stacked, an example a row. Raises ValueError unless asked for in order."""
        if step != self._next:
            raise ValueError(f"a stream gives steps in order: asked for step {step}, but the next is {self._next}")
        self._next += 1
        return next(self._iterator)

    def batch(self, feed: Feed, step: Counter, draw: Counter) -> Batch:
        """Take one of the stacked batches of a feed."""
        rows = batch_of_stack(feed, draw)
        return {name: array.reshape(-1, *self.row_shapes[name]) for name, array in rows.items()}

    def close(self) -> None:
        """Stop the threads; no step can be asked for afterwards."""
        self._iterator.close()

    def _read(self, step: int) -> Feed:
        # The order of the data is a few integers: work for the host, which leaves the accelerator's queue alone.
        with jax.default_device(_host_device()):
            numbers = [step * self.draws + draw for draw in range(self.draws)]
            index = np.stack([np.asarray(batch_indices(self.seed, n, self.batch_size, self.size)) for n in numbers])
        rows = self._split.load(index[:, self._rows].reshape(-1))
        self.row_shapes = {name: array.shape[1:] for name, array in rows.items()}
        return {name: self._stack(array) for name, array in rows.items()}

    def _stack(self, rows: np.ndarray) -> jax.Array:
        flat = flat_shape(rows.shape[1:])
        stacked = np.zeros((self.draws, self.batch_size, *flat), rows.dtype)
        stacked[:, self._rows] = rows.reshape(self.draws, len(self._rows), *flat)
        return place(stacked, self._sharding)


def evaluation_batches(split: Split | Streams, batch_size: int) -> Iterator[Arrays]:
    """The whole split in order, in batches of one size, as NumPy arrays.

    The last batch is filled up by repeating its own rows from the first on, and "mask", bool (batch_size,), is False
    on those, so that every example is counted once and the step is compiled once. Of streams the main split is gone
    over, and the others are repeated or cut to its length.
    """
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size}: must be 1 or more")
    for low in range(0, split.size, batch_size):
        real = np.arange(low, min(low + batch_size, split.size), dtype=np.int32)
        yield {**split.load(np.resize(real, batch_size)), "mask": np.arange(batch_size) < len(real)}


def _check_batch_size(batch_size: int, size: int) -> None:
    if not 1 <= batch_size <= size:
        raise ConfigError(f"--batch-size {batch_size}: must be between 1 and the number of training examples, {size}")


def _host_device() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        # JAX_PLATFORMS may name an accelerator alone.
        return jax.local_devices()[0]


def batch_of_stack(stacked: Feed, draw: Counter) -> Batch:
    """One of the batches of arrays (draws, batch_size, ...); `draw` may be traced."""
    return {name: jax.lax.dynamic_index_in_dim(array, draw, keepdims=False) for name, array in stacked.items()}


def flat_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an example as one row of numbers; () as it is."""
    return (math.prod(shape),) if shape else ()


def place(array: np.ndarray, sharding: jax.sharding.Sharding | None) -> jax.Array:
    """`array`, the same in every process, on the devices; each process sends only what its own devices hold."""
    if sharding is None:
        return jax.device_put(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])


def _local_rows(sharding: jax.sharding.Sharding | None, draws: int, batch_size: int) -> np.ndarray:
    """The positions in the batch that this process's devices hold."""
    wanted = np.zeros(batch_size, bool)
    if sharding is None:
        wanted[:] = True
    else:
        for part in sharding.addressable_devices_indices_map((draws, batch_size)).values():
            assert part is not None
            wanted[part[1]] = True
    return np.flatnonzero(wanted)
