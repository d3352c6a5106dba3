"""What a split holds, as a digest: the same for the same images, wherever and however they are stored."""

import hashlib

import numpy as np

from gen_jax.data.dataset import Dataset, Split


def split_digest(dataset: Dataset, split: Split) -> str:
    """16 hexadecimal digits over shape and every pixel and label; for a split that streams, over its description."""
    if split.arrays is None:
        return hashlib.blake2b(f"{dataset.fingerprint} {split.size}".encode(), digest_size=8).hexdigest()
    found = hashlib.blake2b(digest_size=8)
    for name, array in sorted(split.arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
