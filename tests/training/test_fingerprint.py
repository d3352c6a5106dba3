import hashlib

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from gen_jax.training.fingerprint import digest, leaf_digests
from gen_jax.training.sharding import make_mesh, replicated, split_batch

ARRAYS = {
    "float32": np.random.default_rng(0).normal(size=(8, 5, 3)).astype(np.float32),
    "bfloat16": np.random.default_rng(1).normal(size=(16, 7)).astype(ml_dtypes.bfloat16),
    "float16": np.random.default_rng(2).normal(size=(8,)).astype(np.float16),
    "float8_e4m3fn": np.random.default_rng(3).normal(size=(8, 2)).astype(ml_dtypes.float8_e4m3fn),
    "int32": np.random.default_rng(4).integers(-(2**31), 2**31, size=(24, 2), dtype=np.int32),
    "uint32": np.random.default_rng(5).integers(0, 2**32, size=(8, 1), dtype=np.uint32),
    "int8": np.random.default_rng(6).integers(-128, 128, size=(8, 9), dtype=np.int8),
    "uint8": np.random.default_rng(7).integers(0, 256, size=(8, 9), dtype=np.uint8),
    "int16": np.random.default_rng(8).integers(-(2**15), 2**15, size=(8,), dtype=np.int16),
    "bool": np.random.default_rng(9).integers(0, 2, size=(8, 3)).astype(bool),
}


def mixed(x):
    """The mixer in Python integers."""
    x = ((x ^ x >> 16) * 0x7FEB352D) % 2**32
    x = ((x ^ x >> 15) * 0x846CA68B) % 2**32
    return x ^ x >> 16


def by_hand(array):
    """The entry of an array, from its bytes, one element after another."""
    width = array.dtype.itemsize
    data = array.tobytes()
    elements = [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]
    sums = [sum(mixed((e + i * stride) % 2**32) for i, e in enumerate(elements)) for stride in (0x9E3779B9, 0x85EBCA6B)]
    shape = ",".join(map(str, array.shape))
    return f"{array.dtype}[{shape}] " + "".join(f"{s % 2**32:08x}" for s in sums)


@pytest.mark.parametrize("dtype", ARRAYS)
def test_a_digest_is_the_sum_written_out(dtype):
    assert leaf_digests({"a": jnp.asarray(ARRAYS[dtype])}) == {"a": by_hand(ARRAYS[dtype])}


def test_complex_numbers_are_pairs():
    pairs = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    value = leaf_digests({"a": jnp.asarray(pairs[:, 0] + 1j * pairs[:, 1], jnp.complex64)})["a"]
    assert value == by_hand(pairs).replace("float32[5,2]", "complex64[5]")


def test_scalars_and_empty_arrays_have_digests():
    assert leaf_digests({"a": jnp.float32(0.5), "b": jnp.zeros((0, 3))}) == {
        "a": by_hand(np.float32(0.5)),
        "b": "float32[0,3] " + "0" * 16,
    }
    assert leaf_digests({"empty": {}}) == {}


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_a_digest_does_not_depend_on_how_many_devices_share_the_arrays(devices):
    mesh = make_mesh(jax.devices()[:devices])
    expected = {dtype: by_hand(array) for dtype, array in ARRAYS.items()}
    assert leaf_digests(jax.device_put(ARRAYS, split_batch(mesh))) == expected
    assert leaf_digests(jax.device_put(ARRAYS, replicated(mesh))) == expected


def test_a_tree_of_different_shardings_has_the_same_digest():
    mesh = make_mesh()
    tree = {"a": ARRAYS["float32"], "b": ARRAYS["bfloat16"]}
    placed = {"a": jax.device_put(tree["a"], split_batch(mesh)), "b": jax.device_put(tree["b"], replicated(mesh))}
    assert digest(placed) == digest(tree)


@pytest.mark.parametrize("dtype", ARRAYS)
def test_every_single_bit_counts(dtype):
    array = ARRAYS[dtype]
    data = np.frombuffer(array.tobytes(), np.uint8)
    entries = {by_hand(array)}
    # Of a bool one bit has a meaning.
    places = [(i, bit) for i in (0, len(data) // 2, len(data) - 1) for bit in range(1 if dtype == "bool" else 8)]
    for place, bit in places:
        changed = data.copy()
        changed[place] ^= 1 << bit
        entries.add(leaf_digests({"a": jnp.asarray(changed.view(array.dtype).reshape(array.shape))})["a"])
    assert len(entries) == 1 + len(places)


def test_places_count():
    array = jnp.arange(12.0)
    swapped = array.at[3].set(array[8]).at[8].set(array[3])
    entries = {leaf_digests({"a": a})["a"] for a in (array, swapped, array[::-1], jnp.roll(array, 1))}
    assert len(entries) == 4


def test_a_digest_is_a_hash_of_the_entries_by_name():
    tree = {"b": {"c": jnp.arange(3)}, "a": jnp.ones(2)}
    lines = f"a {by_hand(np.ones(2, np.float32))}\nb/c {by_hand(np.arange(3, dtype=np.int32))}\n"
    assert digest(tree) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_digest_changes_with_a_bit_a_name_a_dtype_and_a_shape():
    tree = {"a": jnp.arange(4, dtype=jnp.float32), "b": jnp.int32(1)}
    others = [
        {**tree, "a": tree["a"].at[2].set(np.nextafter(np.float32(2), np.float32(3)))},
        {**tree, "a": tree["a"].at[0].set(-0.0)},
        {"a": tree["a"], "c": tree["b"]},
        {**tree, "b": jnp.uint32(1)},
        {**tree, "a": tree["a"].view(jnp.int32)},
        {**tree, "a": tree["a"].reshape(2, 2)},
        {"a": tree["a"]},
    ]
    assert len({digest(t) for t in [tree, *others]}) == 1 + len(others)


def test_a_digest_does_not_depend_on_the_order_of_names_or_the_kind_of_array():
    tree = {"b": np.ones(2, np.float32), "a": np.zeros(3, np.int8)}
    assert digest(tree) == digest({"a": jnp.zeros(3, jnp.int8), "b": jnp.ones(2)})


def test_what_jax_would_round_is_refused():
    with pytest.raises(TypeError, match=r"^a is float64; digested are elements of at most 32 bits and complex64$"):
        leaf_digests({"a": np.ones(2)})
