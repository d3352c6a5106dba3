import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import scalar_nets, start, toy_game

from gen_jax.training import Player, Turn
from gen_jax.training import keys as key_paths
from gen_jax.training.state import leaves_by_name


def free(params, variables, batch, key, now):
    raise AssertionError("no loss is called when a state is made")


def averaging_game(**fields):
    """Two players, one of them with moments; a net with statistics; an average; a carry of Python numbers."""

    def init(key, example):
        return {
            "critic": {"params": {"kernel": jnp.ones((2, 3))}, "batch_stats": {"mean": jnp.zeros(3)}},
            "generator": {"params": {"kernel": jax.random.normal(key, (3, 2))}},
        }

    players = {
        "critic": Player(("critic",), free, optax.adam(0.1)),
        "penalty": Player(("critic",), free, "critic"),
        "generator": Player(("generator",), free, optax.sgd(0.1)),
    }
    turns = (Turn(("critic",)), Turn(("penalty",), every=4), Turn(("generator",), fresh=False))
    return toy_game(
        init, players, turns, **{"averages": {"generator": lambda step: 0.9}, "carry": {"k": 0.5}, **fields}
    )


def test_the_initial_state_has_everything_by_net_and_player():
    assert {name: (leaf.shape, str(leaf.dtype)) for name, leaf in leaves_by_name(start(averaging_game())).items()} == {
        "step": ((), "int32"),
        "params/critic/kernel": ((2, 3), "float32"),
        "params/generator/kernel": ((3, 2), "float32"),
        "variables/critic/batch_stats/mean": ((3,), "float32"),
        "opt_state/critic/0/count": ((), "int32"),
        "opt_state/critic/0/mu/critic/kernel": ((2, 3), "float32"),
        "opt_state/critic/0/nu/critic/kernel": ((2, 3), "float32"),
        "averages/generator/kernel": ((3, 2), "float32"),
        "carry/k": ((), "float32"),
    }


def test_the_initial_weights_come_from_the_key_and_a_name():
    kernel = start(averaging_game(), seed=3).params["generator"]["kernel"]
    expected = jax.random.normal(key_paths.derive(jax.random.key(3), "init"), (3, 2))
    np.testing.assert_array_equal(kernel, expected)
    assert not np.array_equal(kernel, start(averaging_game(), seed=4).params["generator"]["kernel"])


def test_averages_begin_as_copies_of_the_weights():
    state = start(averaging_game())
    average, weights = state.averages["generator"]["kernel"], state.params["generator"]["kernel"]
    np.testing.assert_array_equal(average, weights)
    assert average.unsafe_buffer_pointer() != weights.unsafe_buffer_pointer()


def test_averages_sample_where_there_are_any():
    state = start(averaging_game())
    assert state.sampling_params["generator"] is state.averages["generator"]
    assert state.sampling_params["critic"] is state.params["critic"]


def test_numbers_of_python_become_arrays_of_a_dtype_of_their_own():
    state = start(averaging_game(carry={"k": 0.5, "count": 3, "nothing": None}))
    assert {name: leaf.weak_type for name, leaf in leaves_by_name(state.carry).items()} == {"k": False, "count": False}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"averages": {"decoder": lambda step: 0.9}},
            r"nets \['decoder'\] are named by the game, but its init makes \['critic', 'generator'\]",
        ),
        (
            {"init": scalar_nets(critic=1.0), "averages": {}},
            r"nets \['generator'\] are named by the game, but its init makes \['critic'\]",
        ),
    ],
    ids=["averaged", "owned"],
)
def test_nets_that_init_does_not_make_are_named(fields, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        start(dataclasses.replace(averaging_game(), **fields))
