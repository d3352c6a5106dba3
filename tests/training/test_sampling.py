import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import scalar_nets, start, toy_game

from gen_jax.data import Field, Identity, Unit
from gen_jax.preflight.collectives import collectives
from gen_jax.training import Player, Turn
from gen_jax.training import keys as key_paths
from gen_jax.training.game import Given
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import make_mesh

KEY = jax.random.key(5)


def sampled_game(sample, init=None, **fields):
    def loss(params, variables, batch, key, now):
        raise AssertionError("this game is not trained")

    players = {"a": Player(("a",), loss, optax.sgd(0.1))}
    return toy_game(init or scalar_nets(a=2.0), players, (Turn(("a",)),), sample=sample, **fields)


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

    given = {"label": Given(Field("label", values=10)), "point": Given(Field("points", (2,)))}
    game = sampled_game(sample, given=given)
    label, point = np.arange(10, dtype=np.int32), np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    found = Sampler(game, make_mesh(), chunk=4)(start(game), KEY, 10, label=label, point=point)
    np.testing.assert_array_equal(found, point + label[:, None].astype(np.float32))


def test_averaged_weights_sample():
    game = sampled_game(
        lambda params, variables, key, n: jnp.full((n, 2), params["a"]["w"]), averages={"a": lambda step: 0.9}
    )
    state = dataclasses.replace(start(game), averages={"a": {"w": jnp.float32(7.0)}})
    np.testing.assert_array_equal(Sampler(game, make_mesh())(state, KEY, 3), np.full((3, 2), 7.0))


def walk(params, variables, key, n):
    """A sampler that calls a network many times, as that of a diffusion does."""

    def step(i, x):
        return jnp.tanh(x @ params["a"]["w"]) + 0.1 * jax.random.normal(jax.random.fold_in(key, i), x.shape)

    return jax.lax.fori_loop(0, 5, step, jax.random.normal(key, (n, 2)))


def walking_game():
    return sampled_game(walk, init=scalar_nets(a=np.float32([[1.0, 0.5], [-0.5, 1.0]])))


@pytest.mark.parametrize("n", [16, 12, 40])
def test_samples_are_the_same_on_any_number_of_devices(n):
    # 16 at a time can be shared by eight, 12 by two; of 40 the last are half a chunk.
    game = walking_game()
    one, two, eight = (Sampler(game, make_mesh(jax.devices()[:d]), chunk=16)(start(game), KEY, n) for d in (1, 2, 8))
    assert one.shape == (n, 2)
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(eight, one, rtol=1e-5, atol=1e-6)


def test_devices_draw_a_share_each_and_meet_at_the_end():
    game, mesh = walking_game(), make_mesh()

    def lowered(**options):
        return Sampler(game, mesh, **options).lower(start(game)).compile().as_text()

    (gathered,) = collectives(lowered(chunk=64))
    assert (gathered.kind, gathered.bytes, gathered.group_size, gathered.count) == ("all-gather", 64 * 2 * 4, 8, 1)
    assert "f32[8,2]" in lowered(chunk=64)
    # Where they cannot share, each draws all.
    assert collectives(lowered(chunk=12)) == []
    assert collectives(lowered(chunk=64, alone=True)) == []


@pytest.mark.parametrize(("transform", "dtype", "value"), [(Unit(), np.uint8, 128), (Identity(), np.float32, 0.5)])
def test_samples_are_restored_to_what_the_data_look_like(transform, dtype, value):
    game = sampled_game(lambda params, variables, key, n: jnp.full((n, 3, 3, 1), 0.5), transform=transform)
    found = Sampler(game, make_mesh())(start(game), KEY, 2)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.full((2, 3, 3, 1), value))
