"""Arrays where JAX can use them as they lie in memory."""

import numpy as np

ALIGNMENT = 64
"""Bytes. Of an address that is a multiple of it XLA's CPU devices share the memory; otherwise each makes a copy."""


def aligned(array: np.ndarray) -> np.ndarray:
    """The array, read-only: itself if it lies at such an address in one piece, or else a copy that does."""
    if array.ctypes.data % ALIGNMENT or not array.flags.c_contiguous:
        memory = np.empty(array.nbytes + ALIGNMENT, np.uint8)
        begin = -memory.ctypes.data % ALIGNMENT
        copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        array = copy
    array = array.view()
    # Whoever changed it would change what is on the device.
    array.flags.writeable = False
    return array
