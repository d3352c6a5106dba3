import itertools

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.training.keys import derive

ROOT = jax.random.key(7)


def words(key):
    return tuple(int(word) for word in jax.random.key_data(key))


def test_a_key_is_what_it_was_in_every_other_process():
    # CRC-32 of "turn" and "carry" and threefry: nothing that may differ between processes, versions or machines.
    assert words(derive(ROOT, "turn", 3, "carry")) == (0xE32B3AAE, 0x8C15E41E)


def test_strings_are_folded_in_by_their_crc32():
    # The check value that catalogues of CRCs give for CRC-32.
    assert words(derive(ROOT, "123456789")) == words(jax.random.fold_in(ROOT, 0xCBF43926))


def test_the_empty_path_is_the_key_itself():
    assert words(derive(ROOT)) == words(ROOT)


def test_a_path_can_be_walked_in_parts():
    assert words(derive(derive(ROOT, "turn", 3), 1)) == words(derive(ROOT, "turn", 3, 1))


def test_different_paths_give_different_keys():
    parts = ("turn", "carry", "init", 0, 1, 2)
    paths = [path for length in range(4) for path in itertools.product(parts, repeat=length)]
    assert len({words(derive(ROOT, *path)) for path in paths}) == len(paths)


def test_traced_numbers_give_the_keys_of_python_numbers():
    traced = jax.jit(lambda step, index: derive(ROOT, "turn", step, index))
    for step, index in [(0, 0), (5, 2), (2**31 - 1, 1)]:
        assert words(traced(jnp.int32(step), jnp.int32(index))) == words(derive(ROOT, "turn", step, index))


def test_streams_of_neighbouring_paths_are_not_correlated():
    draws = np.stack([jax.random.normal(derive(ROOT, "turn", step), (4000,)) for step in range(4)])
    off_diagonal = np.corrcoef(draws)[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(4000)
