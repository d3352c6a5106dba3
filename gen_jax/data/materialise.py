"""Whether a split is decoded up front or streams, decided by its size in memory."""

from collections.abc import Callable

import numpy as np

from gen_jax.data.cache import cached
from gen_jax.data.dataset import Arrays, Split
from gen_jax.data.decode import concatenate, in_parallel


def as_split(read: Callable[[np.ndarray], Arrays], size: int, in_memory: bool, key: str) -> Split:
    """A split of what `read` gives for the positions 0..size-1.

    Args:
        read: int positions (n,) -> "x" (n, H, W, C) uint8 and perhaps "label" (n,) int32; called from several threads.
        size: how many examples there are.
        in_memory: decode everything now, or take it from the cache; otherwise the split streams.
        key: names the content in the cache.
    """
    if not in_memory:
        return Split(size, read=read)
    arrays = cached(key, lambda: concatenate(in_parallel(read, size)))
    return Split(size, arrays)
