"""Which examples make up which batch, as pure arithmetic: no permutation is stored, and any batch can be asked for.

A permutation that is computed one element at a time is a block cipher on the numbers below `size`: a Feistel network on
the smallest power of two that holds them, walked along its cycles until it lands below `size` (the cycle-walking cipher
of Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains"). Its halves differ where the number of bits is odd.
"""

import functools
import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Int32, Key, UInt32

# Each round mixes both halves. Four make the smallest sizes look uniform too, where a half is a single bit.
ROUNDS = 4
# Keeps the order of the data apart from every other use of the same seed.
TAG = zlib.crc32(b"data order") & 0x7FFFFFFF


@jax.jit
def permuted(
    index: Int[Array, "*shape"] | int,
    size: Int[Array, ""] | int,
    key: Key[Array, ""] | UInt32[Array, " words"],
) -> Int32[Array, "*shape"]:
    """Where a pseudo-random permutation of range(size) sends `index`.

    Fewer than two evaluations of the network an element on average, because the domain is less than twice `size`.

    Args:
        index: positions in [0, size).
        size: 1 or more, below 2**31; may be traced.
        key: which permutation: a JAX key, or the words of `jax.random.key_data`.
    """
    words = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    round_keys = _round_keys(words)
    count = jnp.asarray(size).astype(jnp.uint32)
    # Bits of the largest index, in two halves.
    bits = jnp.uint32(32) - jax.lax.clz(count - jnp.uint32(1))
    low_bits = (bits + jnp.uint32(1)) // jnp.uint32(2)
    low_mask = (jnp.uint32(1) << low_bits) - jnp.uint32(1)
    high_mask = (jnp.uint32(1) << (bits - low_bits)) - jnp.uint32(1)

    def network(value: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
        low, high = value & low_mask, value >> low_bits
        for r in range(ROUNDS):
            high = high ^ (_mix(low ^ round_keys[2 * r]) & high_mask)
            low = low ^ (_mix(high ^ round_keys[2 * r + 1]) & low_mask)
        return (high << low_bits) | low

    first = network(jnp.asarray(index).astype(jnp.uint32))
    inside = jax.lax.while_loop(
        lambda value: jnp.any(value >= count),
        lambda value: jnp.where(value >= count, network(value), value),
        first,
    )
    return inside.astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("seed", "batch_size", "size"))
def batch_indices(
    seed: int,
    number: Int[Array, ""] | int,
    batch_size: int,
    size: int,
    positions: Int[Array, " part"] | None = None,
) -> Int32[Array, " part"]:
    """The examples of batch `number`.

    The data is passed over in epochs, each in an order of its own and without replacement. An epoch has
    `size // batch_size` batches; the `size % batch_size` examples left over are different ones each time.

    Args:
        seed: of the run.
        number: counts batches from the start of training; below 2**31, may be traced.
        batch_size: at most `size`.
        size: how many examples there are.
        positions: which of the batch's, each in [0, batch_size); None for all, in order.

    Returns:
        int32 (part,), of all (batch_size,): each in [0, size) and no two the same.

    Raises:
        ValueError: the batch is larger than the data.
    """
    if not 1 <= batch_size <= size:
        raise ValueError(f"batch_size={batch_size}: must be between 1 and the number of examples, {size}")
    batches = size // batch_size
    number = jnp.asarray(number, jnp.int32)
    epoch, position = number // batches, number % batches
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), TAG), epoch)
    wanted = jnp.arange(batch_size, dtype=jnp.int32) if positions is None else positions
    return permuted(position * batch_size + wanted, size, key)


def _round_keys(words: UInt32[Array, " words"]) -> list[UInt32[Array, ""]]:
    """Independent-looking 32-bit keys, two a round, each a hash of all the words and of its number."""
    keys = []
    for r in range(2 * ROUNDS):
        key = jnp.uint32(r + 1)
        for w in range(words.shape[0]):
            key = _mix(key * jnp.uint32(0x9E3779B1) ^ words[w])
        keys.append(key)
    return keys


def _mix(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """A bijection of 32 bits in which every output bit depends on every input bit (the finaliser of MurmurHash3)."""
    x = (x ^ (x >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> jnp.uint32(16))
