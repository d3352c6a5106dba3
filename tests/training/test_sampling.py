import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import scalar_nets, start, toy_game

from gen_jax.data import Identity, Unit
from gen_jax.training import Player, Turn
from gen_jax.training import keys as key_paths
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import make_mesh

KEY = jax.random.key(5)


def sampled_game(sample, **fields):
    def loss(params, variables, batch, key, carry):
        raise AssertionError("this game is not trained")

    players = {"a": Player(("a",), loss, optax.sgd(0.1))}
    return toy_game(scalar_nets(a=2.0), players, (Turn(("a",)),), sample=sample, **fields)


def normal(params, variables, key, n):
    return params["a"]["w"] * jax.random.normal(key, (n, 2))


@pytest.mark.parametrize("n", [1, 4, 5, 11])
def test_samples_come_in_chunks_each_with_a_key_of_its_own(n):
    sizes = []

    def sample(params, variables, key, n):
        sizes.append(n)
        return normal(params, variables, key, n)

    game = sampled_game(sample)
    found = Sampler(game, make_mesh(), chunk=4)(start(game), KEY, n)
    size = min(n, 4)
    chunks = [
        2 * jax.random.normal(key_paths.derive(KEY, "chunk", number), (size, 2)) for number in range(-(-n // size))
    ]
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, np.concatenate(chunks)[:n], rtol=1e-6)
    # Traced once: the last chunk is as large as the others, and what is too much of it is cut off.
    assert sizes == [size]


def test_the_same_key_gives_the_same_samples_and_another_gives_others():
    game = sampled_game(normal)
    state = start(game)
    first = Sampler(game, make_mesh(), chunk=4)(state, KEY, 9)
    np.testing.assert_array_equal(Sampler(game, make_mesh(), chunk=4)(state, KEY, 9), first)
    assert not np.isclose(Sampler(game, make_mesh(), chunk=4)(state, jax.random.key(6), 9), first).any()
    assert len(np.unique(first, axis=0)) == 9


def test_conditions_are_cut_into_the_same_chunks():
    def sample(params, variables, key, n, *, label, point):
        assert label.shape == (n,)
        return point + label[:, None].astype(jnp.float32)

    game = sampled_game(sample)
    label, point = np.arange(10, dtype=np.int32), np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    found = Sampler(game, make_mesh(), chunk=4)(start(game), KEY, 10, label=label, point=point)
    np.testing.assert_array_equal(found, point + label[:, None].astype(np.float32))


def test_averaged_weights_sample():
    game = sampled_game(
        lambda params, variables, key, n: jnp.full((n, 2), params["a"]["w"]), averages={"a": lambda step: 0.9}
    )
    state = dataclasses.replace(start(game), averages={"a": {"w": jnp.float32(7.0)}})
    np.testing.assert_array_equal(Sampler(game, make_mesh())(state, KEY, 3), np.full((3, 2), 7.0))


@pytest.mark.parametrize(("transform", "dtype", "value"), [(Unit(), np.uint8, 128), (Identity(), np.float32, 0.5)])
def test_samples_are_restored_to_what_the_data_look_like(transform, dtype, value):
    game = sampled_game(lambda params, variables, key, n: jnp.full((n, 3, 3, 1), 0.5), transform=transform)
    found = Sampler(game, make_mesh())(start(game), KEY, 2)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.full((2, 3, 3, 1), value))
