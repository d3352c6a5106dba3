import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import scalar_nets, start, toy_game

from gen_jax.data import Identity, Split, evaluation_batches
from gen_jax.training import Player, Turn
from gen_jax.training.evaluation import Evaluator
from gen_jax.training.sharding import make_mesh

POINTS = np.random.default_rng(0).normal(size=(19, 2)).astype(np.float32)


def judged_game(evaluate, init=None, **fields):
    def loss(params, variables, batch, key, now):
        raise AssertionError("this game is not trained")

    players = {"a": Player(("a",), loss, optax.sgd(0.1))}
    return toy_game(init or scalar_nets(a=2.0), players, (Turn(("a",)),), evaluate=evaluate, **fields)


def evaluator(game, batch_size=8, points=POINTS, seed=0):
    held_out = functools.partial(evaluation_batches, Split(len(points), arrays={"x": points}), batch_size)
    return Evaluator(game, held_out, make_mesh(), seed)


@pytest.mark.parametrize("size", [1, 8, 15, 16, 19])
def test_metrics_are_means_over_the_examples_and_padding_does_not_count(size):
    def evaluate(params, variables, batch, key):
        return {"scaled": params["a"]["w"] * batch["x"][:, 0], "square": (batch["x"] ** 2).sum(-1)}

    game = judged_game(evaluate)
    found = evaluator(game, points=POINTS[:size])(start(game))
    assert set(found) == {"scaled", "square"}
    assert all(type(value) is float for value in found.values())
    np.testing.assert_allclose(found["scaled"], 2.0 * POINTS[:size, 0].mean(dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(found["square"], (POINTS[:size] ** 2).sum(1).mean(), rtol=1e-5)


def test_padding_may_be_worth_anything():
    def evaluate(params, variables, batch, key):
        # The padding of the last batch repeats its own rows; only the positions tell it apart.
        worth = jnp.where(jnp.arange(8) < 3, batch["index"], jnp.nan)
        return {"index": jnp.where(batch["index"] >= 16, worth, batch["index"]).astype(jnp.float32)}

    game = judged_game(evaluate)
    assert evaluator(game)(start(game)) == {"index": 9.0}


def test_the_noise_is_the_same_each_time_and_differs_between_batches_and_seeds():
    def evaluate(params, variables, batch, key):
        noise = jax.random.normal(key, (8,))
        return {"noise": noise, "batch_0": jnp.where(batch["index"] < 8, noise, 0), "x": batch["x"][:, 0]}

    game = judged_game(evaluate)
    state = start(game)
    examine = evaluator(game, points=POINTS[:16])
    first = examine(state)
    assert examine(state) == first == evaluator(game, points=POINTS[:16])(state)
    second_batch = first["noise"] * 16 - first["batch_0"] * 16
    assert abs(second_batch - first["batch_0"] * 16) > 1e-3
    other = evaluator(game, points=POINTS[:16], seed=1)(state)
    assert abs(other["noise"] - first["noise"]) > 1e-3
    assert other["x"] == first["x"]


def test_the_transform_for_evaluation_is_applied_with_noise_of_its_own():
    @dataclasses.dataclass(frozen=True)
    class Noisy(Identity):
        def train(self, x, key):
            raise AssertionError("held-out data are not augmented")

        def evaluate(self, x, key):
            return 10 * x + jax.random.normal(key, x.shape)

    def evaluate(params, variables, batch, key):
        assert "mask" not in batch
        return {"own": jnp.abs(batch["x"][:, 0] - jax.random.normal(key, (8, 2))[:, 0]), "x": batch["x"][:, 0]}

    game = judged_game(evaluate, transform=Noisy())
    points = np.zeros((8, 2), np.float32)
    found = evaluator(game, points=points)(start(game))
    assert found["own"] > 0.1
    assert abs(found["x"]) > 1e-3


def test_averages_and_statistics_are_evaluated():
    def evaluate(params, variables, batch, key):
        return {
            name: jnp.full(8, value) for name, value in {"a": params["a"]["w"], "n": variables["b"]["s"]["n"]}.items()
        }

    def init(key, example):
        return {"a": {"params": {"w": jnp.float32(2.0)}}, "b": {"s": {"n": jnp.float32(3.0)}}}

    game = judged_game(evaluate, init=init, averages={"a": optax.constant_schedule(0.9)})
    state = start(game)
    state = dataclasses.replace(state, averages={"a": {"w": jnp.float32(7.0)}})
    assert evaluator(game)(state) == {"a": 7.0, "n": 3.0}


def test_a_game_that_evaluates_nothing_reads_no_data():
    def held_out():
        raise AssertionError("read")

    game = judged_game(None)
    assert Evaluator(game, held_out, make_mesh(), 0)(start(game)) == {}
