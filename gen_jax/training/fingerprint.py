"""Digests of a state, computed where its arrays are: what a checkpoint is checked against.

A leaf's digest is a sum over its elements of a mixed function of position and bits, modulo 2^32 and for two seeds.
Sums of integers are exact in any order, so the digest depends neither on the sharding nor on the number of devices.
It is a check against accidents, at the cost of reading the memory once; it is not cryptographic.
"""

import hashlib
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jaxtyping import Array, Integer, UInt32

from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.game import PyTree
from gen_jax.training.same_shapes import over_leaves
from gen_jax.training.sharding import replicated_like
from gen_jax.training.state import leaves_by_name

# What one position differs by from the next, an odd number for each seed: 2^32 divided by the golden ratio, and the
# second multiplier of MurmurHash3's finalizer.
STRIDES = (0x9E3779B9, 0x85EBCA6B)


def mix(x: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """A bijection of 32-bit integers in which every bit depends on all: "lowbias32" of Wellons' hash prospector."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def bits(leaf: Array) -> Integer[Array, "..."]:
    """An array's bits as uint32; those of complex numbers have a last axis of two.

    Raises:
      TypeError: elements of more than 32 bits other than complex64, which JAX itself would round, or typed keys.
    """
    if leaf.dtype == jnp.complex64:
        leaf = jnp.stack([leaf.real, leaf.imag], axis=-1)
    if leaf.dtype == jnp.bool_:
        return leaf.astype(jnp.uint32)
    width = jnp.finfo(leaf.dtype).bits if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.iinfo(leaf.dtype).bits
    return jax.lax.bitcast_convert_type(leaf, jnp.dtype(f"uint{width}")).astype(jnp.uint32)


def positions(shape: tuple[int, ...]) -> Integer[Array, "..."]:
    """The row-major index of every element modulo 2^32, written so that XLA can split it as it splits the array."""
    index = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        stride = jnp.uint32(math.prod(shape[axis + 1 :]) % 2**32)
        index = index + jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * stride
    return index


def sums(leaf: Array) -> UInt32[Array, "2"]:
    """The two sums of a leaf.

    For one position `mix` is a bijection of the bits, so that a single changed element always changes both sums.
    """
    data = bits(leaf)
    index = positions(data.shape)
    mixed = tuple(mix(data + index * jnp.uint32(stride)) for stride in STRIDES)
    # One reduction of two operands, because it reads the memory once; on CPU it is also ten times as fast as `jnp.sum`
    # of unsigned integers.
    zeros = (jnp.uint32(0),) * len(mixed)
    added = jax.lax.reduce(mixed, zeros, lambda a, b: tuple(x + y for x, y in zip(a, b, strict=True)), range(data.ndim))
    return jnp.stack(added)


@CompiledTogether
@partial(jax.jit, static_argnames="everywhere")
def all_sums(leaves: list[Any], everywhere: NamedSharding | None) -> UInt32[Array, "leaves 2"]:
    """The sums of many leaves in one program, replicated if they span several processes."""
    found = over_leaves(sums, leaves)
    return found if everywhere is None else jax.lax.with_sharding_constraint(found, everywhere)


def leaf_digests(tree: PyTree) -> dict[str, str]:
    """{"params/critic/kernel": "float32[3,4] 0123456789abcdef", ...}: dtype, shape and 64 bits of digest of every leaf.

    Costs one reading of the memory, and a compilation for each new set of shapes. With several processes all of them
    have to call it, and all get the digests of the global arrays.

    Raises:
      TypeError: a leaf of a dtype that is not digested, such as float64.
    """
    leaves = leaves_by_name(tree)
    for name, leaf in leaves.items():
        if jnp.dtype(leaf.dtype).itemsize > 4 and leaf.dtype != jnp.complex64:
            raise TypeError(f"{name} is {leaf.dtype}; digested are elements of at most 32 bits and complex64")
    if not leaves:
        return {}
    found = jax.device_get(all_sums(list(leaves.values()), everywhere=replicated_like(leaves.values())))
    return {
        name: f"{described(leaf)} {high:08x}{low:08x}"
        for (name, leaf), (high, low) in zip(leaves.items(), found.tolist(), strict=True)
    }


def described(leaf: Any) -> str:
    """Dtype and shape, such as "float32[3,4]"."""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def digest(tree: PyTree) -> str:
    """SHA-256 over names, dtypes, shapes and digests of all leaves: equal exactly if the states are.

    Equal states always have equal digests, wherever they live. Two that differ by accident have the same one with a
    probability of about 2^-64 a leaf; in a single element, never.
    """
    lines = sorted(f"{name} {entry}\n" for name, entry in leaf_digests(tree).items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
