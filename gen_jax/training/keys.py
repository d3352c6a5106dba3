"""Random keys as a pure function of (seed, step, name).

No key is stored and none is split along the way, so a run that continues draws what the unbroken run would have drawn.
"""

import zlib

import jax


def derive(key: jax.Array, *path: int | str | jax.Array) -> jax.Array:
    """The key at the end of a path of names and numbers, such as `derive(root, "turn", step, 0)`.

    Args:
      key: a typed PRNG key.
      path: strings are folded in by their CRC-32, which does not depend on the process; numbers as 32 bits, and these
        may be traced.

    Returns:
      A typed PRNG key. Different paths give independent streams.
    """
    for part in path:
        key = jax.random.fold_in(key, zlib.crc32(part.encode()) if isinstance(part, str) else part)
    return key
