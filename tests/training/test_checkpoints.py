import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import resident, start, toy_game

from gen_jax.errors import ConfigError
from gen_jax.training import Aux, Player, Program, Turn, digest
from gen_jax.training.checkpoints import Checkpoints, misfits
from gen_jax.training.sharding import make_mesh, replicated
from gen_jax.training.state import leaves_by_name

POINTS = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)


def many_dtypes_game(width=64):
    """Leaves of all kinds: bfloat16 weights, integer counts, bytes in the carry, and an optimizer with both."""

    def init(key, example):
        weights = jax.random.normal(key, (width, width))
        return {
            "a": {"params": {"w": weights, "half": weights[0].astype(jnp.bfloat16)}, "stats": {"n": jnp.int32(3)}},
            "b": {"params": {}},
        }

    def loss(params, variables, batch, key, carry):
        w, half = params["a"]["w"], params["a"]["half"].astype(jnp.float32)
        error = ((w @ half - jax.random.normal(key, (width,))) ** 2).mean() + batch["x"].sum(-1)
        return error, Aux(variables={"a": {"stats": {"n": variables["a"]["stats"]["n"] + 1}}})

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.linear_schedule(0.1, 0.0, 100)))
    carry = {"pool": np.arange(6, dtype=np.uint8), "k": 0.25, "nothing": None, "pair": (np.int32(1), np.bool_(True))}
    return toy_game(
        init,
        {"a": Player(("a", "b"), loss, optimizer)},
        (Turn(("a",), carry_update=lambda carry, metrics, outputs, key: {**carry, "k": carry["k"] * 0.9}),),
        averages={"a": optax.constant_schedule(0.9)},
        carry=carry,
    )


def placed(state, devices=1):
    return jax.device_put(state, replicated(make_mesh(jax.devices()[:devices])))


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints")
    yield opened
    opened.close()


def test_there_is_nothing_in_the_beginning(checkpoints):
    assert checkpoints.latest() is None
    assert checkpoints.steps() == []


@pytest.mark.parametrize(("saved_on", "restored_on"), [(1, 1), (1, 8), (8, 1), (8, 8)])
def test_a_state_comes_back_to_the_bit_on_the_devices_that_are_asked_for(tmp_path, saved_on, restored_on):
    state = placed(start(many_dtypes_game(4)), saved_on)
    state = dataclasses.replace(state, averages=jax.tree.map(lambda w: w + 1e-3, state.averages))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, state, {"step": 3})
    checkpoints.close()
    sharding = replicated(make_mesh(jax.devices()[:restored_on]))
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state)
    reopened = Checkpoints(tmp_path)
    restored = reopened.restore(3, like)
    reopened.close()
    assert digest(restored) == digest(state)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(restored)} == {"float32", "bfloat16", "int32", "uint8", "bool"}
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert all(leaf.sharding == sharding for leaf in jax.tree.leaves(restored))


def test_the_newest_steps_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    state = placed(start(many_dtypes_game(4)))
    for step in (1, 5, 9):
        checkpoints.save(step, dataclasses.replace(state, step=jnp.int32(step)), {"step": step})
        assert checkpoints.latest() == step
    checkpoints.wait()
    assert checkpoints.steps() == [5, 9]
    assert {path.name for path in tmp_path.iterdir()} == {"5", "9"}
    assert [int(checkpoints.restore(step, state).step) for step in (5, 9)] == [5, 9]
    checkpoints.close()


def test_a_step_that_is_saved_is_left_alone(checkpoints):
    state = placed(start(many_dtypes_game(4)))
    checkpoints.save(2, state, {"step": 2})
    checkpoints.save(2, dataclasses.replace(state, step=jnp.int32(7)), {"step": 2})
    checkpoints.wait()
    assert digest(checkpoints.restore(2, state)) == digest(state)


def test_a_state_that_does_not_fit_is_refused_with_the_names_of_its_leaves(checkpoints):
    state = placed(start(many_dtypes_game(4)))
    checkpoints.save(1, state, {"step": 1})
    checkpoints.wait()
    wanted = dataclasses.replace(
        state,
        params={"a": {"w": state.params["a"]["w"].astype(jnp.bfloat16), "bias": jnp.zeros(3)}, "b": {}},
        carry={**state.carry, "pool": jnp.zeros((2, 3), jnp.uint8)},
    )
    with pytest.raises(ConfigError) as error:
        checkpoints.restore(1, wanted)
    before, _, found = str(error.value).partition(" does not fit: ")
    assert re.fullmatch(r"the checkpoint of step 1 in .*checkpoints", before)
    assert found.split("; ") == [
        "carry/pool is uint8[6], not uint8[2, 3]",
        "it has no params/a/bias",
        "params/a/half is not wanted",
        "params/a/w is float32[4, 4], not bfloat16[4, 4]",
    ]


def test_misfits_of_trees_that_fit_are_none():
    tree = {"a": jnp.zeros((2, 3)), "b": jnp.int32(1)}
    assert misfits(tree, {"b": np.int32(5), "a": np.ones((2, 3), np.float32)}) == []


def test_a_state_may_be_donated_as_soon_as_save_returns(checkpoints):
    game, mesh = many_dtypes_game(width=512), make_mesh(jax.devices()[:1])
    program = Program(game, resident(game, POINTS, 8), mesh, 0)
    state, step = program.advance(placed(start(game)), 0, 1)[:2]
    expected = {}
    for _ in range(2):
        expected[step] = digest(state)
        checkpoints.save(step, state, {"step": step})
        # The buffers that are being written in the background are given away and reused at once, many times.
        for _ in range(10):
            state, step, _ = program.advance(state, step, 1)
    checkpoints.wait()
    like = placed(start(game))
    assert len(set(expected.values())) == 2
    assert {step: digest(checkpoints.restore(step, like)) for step in checkpoints.steps()} == expected


def test_names_of_saved_leaves_are_those_of_the_state(checkpoints):
    state = placed(start(many_dtypes_game(4)))
    checkpoints.save(1, state, {"step": 1})
    checkpoints.wait()
    # Tuples, optax's named tuples and dictionaries alike: nothing is missing and nothing is too much.
    assert "opt_state/a/1/0/count" in leaves_by_name(state)
    assert "carry/pair/1" in leaves_by_name(state)
    assert digest(checkpoints.restore(1, state)) == digest(state)
