import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import after, linear, moves, numbered_batch, per_example, scalar_nets, start, steps_of, toy_game, weights

from gen_jax.training import Aux, Game, Player, Turn, digest

loops = pytest.mark.parametrize("loop", [False, True], ids=["unrolled", "looped"])


@loops
def test_a_player_changes_nothing_that_it_does_not_own(loop):
    def loss(params, variables, batch, key, now):
        both = {net: {"stats": {"n": variables[net]["stats"]["n"] + 1}} for net in ("a", "b")}
        return per_example(batch, params["a"]["w"] * params["b"]["w"]), Aux(variables=both)

    def init(key, example):
        return {net: {"params": {"w": jnp.float32(0.3)}, "stats": {"n": jnp.int32(0)}} for net in ("a", "b")}

    players = {name: Player((name,), loss, optax.adam(0.1)) for name in ("a", "b")}
    game = toy_game(init, players, (Turn(("a",)), Turn(("b",), every=3)))
    before, history = start(game), list(itertools.islice(steps_of(game, loop=loop), 3))

    def owned(state, name):
        return digest([state.params[name], state.variables[name], state.opt_state[name]])

    assert owned(history[1][0], "b") == owned(before, "b") != owned(history[2][0], "b")
    assert len({owned(state, "a") for state in (before, *(state for state, _ in history))}) == 4
    assert [int(history[-1][0].variables[net]["stats"]["n"]) for net in ("a", "b")] == [3, 1]


@loops
def test_parameters_are_projected_after_the_update(loop):
    def clip(owned):
        assert set(owned) == {"a"}
        return jax.tree.map(lambda w: jnp.clip(w, -0.5, 0.5), owned)

    # Gradient 4w - 2, so from 0 a step of 1/4 goes to 1/2 and one of 1 to 2, which is clipped to 1/2, where it is 0.
    def loss(params, variables, batch, key, now):
        return per_example(batch, 2 * params["a"]["w"] ** 2 - 2 * params["a"]["w"]), Aux()

    players = {"a": Player(("a",), loss, optax.sgd(1.0), clip), "b": Player(("b",), linear("b", -3.0), optax.sgd(1.0))}
    game = toy_game(scalar_nets(a=-0.25, b=0.0), players, (Turn(("a", "b")),))
    # -0.25 has gradient -3: 2.75 is clipped, and from 0.5, the optimum, nothing moves. The other player is free.
    assert weights(game, 3, "a", loop=loop) == [0.5, 0.5, 0.5]
    assert weights(game, 3, "b", loop=loop) == [3, 6, 9]


def test_an_optimizer_sees_the_parameters_that_it_moves_and_no_others():
    # Decay without a gradient: w <- w - 0.5 * 0.25 * w, for which the optimizer has to be given w.
    optimizer = optax.chain(optax.add_decayed_weights(0.25), optax.sgd(0.5))
    game = moves("a", nets={"a": 8.0, "b": 8.0}, losses=(linear("a", 0.0),), turns=(Turn(("a",)),), optimizer=optimizer)
    assert weights(game, 2, "a") == [7.0, 6.125]
    assert weights(game, 2, "b") == [8.0, 8.0]


@loops
def test_averages_follow_their_schedule_like_a_loop_by_hand(loop):
    game = moves(
        "a",
        nets={"a": 1.0, "b": 5.0},
        losses=(linear("a", -1.0),),
        turns=(Turn(("a",), repeat=2),),
        averages={"a": lambda step: jnp.minimum(0.75, (1 + step) / (10 + step)), "b": optax.constant_schedule(0.5)},
    )
    average = weight = 1.0
    for step, (state, _) in enumerate(itertools.islice(steps_of(game, loop=loop), 40)):
        weight += 2.0
        decay = min(0.75, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
        np.testing.assert_allclose(state.averages["a"]["w"], average, rtol=1e-5)
        assert state.params["a"]["w"] == weight
        assert state.averages["b"]["w"] == state.params["b"]["w"] == 5.0


def test_statistics_of_batches_change_only_by_the_loss_of_their_owner():
    norm = nn.BatchNorm(use_running_average=False, momentum=0.75)

    def look(scale):
        def loss(params, variables, batch, key, now):
            held = {"params": params["critic"], **variables["critic"]}
            output, updated = norm.apply(held, scale * batch["x"], mutable=["batch_stats"])
            return output[:, 0] * params["generator"]["w"], Aux(variables={"critic": updated})

        return loss

    def init(key, example):
        return {"critic": norm.init(key, example["x"]), "generator": {"params": {"w": jnp.float32(1.0)}}}

    players = {
        "critic": Player(("critic",), look(1.0), optax.sgd(0.1)),
        "generator": Player(("generator",), look(100.0), optax.sgd(0.1)),
    }
    game = toy_game(init, players, (Turn(("critic",)), Turn(("generator",)), Turn(("critic", "generator"))))
    rng = np.random.default_rng(0)
    data = rng.normal(3.0, 2.0, (3, 4, 2)).astype(np.float32)
    index = jnp.arange(4, dtype=jnp.int32)
    state = after(game, 1, lambda step, number: {"x": jnp.asarray(data)[number], "index": index})
    mean, var = np.zeros(2), np.ones(2)
    for number in (0, 2):
        mean = 0.75 * mean + 0.25 * data[number].mean(0)
        var = 0.75 * var + 0.25 * data[number].var(0)
    np.testing.assert_allclose(state.variables["critic"]["batch_stats"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(state.variables["critic"]["batch_stats"]["var"], var, rtol=1e-5)
    assert state.variables["generator"] == {}


def test_a_loss_that_gives_some_of_the_variables_keeps_the_others():
    def loss(params, variables, batch, key, now):
        return per_example(batch, params["a"]["w"]), Aux(variables={"a": {"counts": {"n": jnp.int32(7)}}})

    def init(key, example):
        return {"a": {"params": {"w": jnp.float32(0)}, "counts": {"n": jnp.int32(1)}, "stats": {"m": jnp.float32(2)}}}

    game = toy_game(init, {"a": Player(("a",), loss, optax.sgd(0.1))}, (Turn(("a",)),))
    assert after(game, 1).variables == {"a": {"counts": {"n": 7}, "stats": {"m": 2.0}}}


@loops
def test_a_shared_optimizer_moves_with_the_same_moments(loop):
    players = {
        "critic": Player(("a",), linear("a", 1.0), optax.sgd(1.0, momentum=0.5)),
        "penalty": Player(("a",), linear("a", 4.0), "critic"),
    }
    game = toy_game(scalar_nets(a=0.0), players, (Turn(("critic",)), Turn(("penalty",), every=2, fresh=False)))
    # trace <- gradient + trace / 2: 1; 1.5 and then 4.75 for the penalty; 3.375; 2.6875 and 5.34375.
    assert weights(game, 4, loop=loop) == [-1, -1 - 1.5 - 4.75, -10.625, -10.625 - 2.6875 - 5.34375]
    assert set(after(game, 1).opt_state) == {"critic"}


@pytest.mark.parametrize(
    ("shaped", "shape"),
    [
        (jnp.mean, r"\(\)"),
        (lambda loss: loss[:, None], r"\(4, 1\)"),
        (lambda loss: loss[:, None] + loss[None], r"\(4, 4\)"),
    ],
    ids=["mean", "column", "broadcast"],
)
def test_a_loss_that_is_not_one_value_per_example_is_named(shaped, shape):
    def loss(params, variables, batch, key, now):
        return shaped(per_example(batch, params["b"]["w"])), Aux()

    turns = (Turn(("a",)), Turn(("b",)))
    with (
        jax.numpy_rank_promotion("allow"),
        pytest.raises(ValueError, match=f"^the loss of player 'b' has shape {shape}, not one value per example"),
    ):
        after(moves("a", "b", nets={"a": 0.0, "b": 0.0}, losses=(linear("a", 1.0), loss), turns=turns), 1)


@jax.custom_vjp
def constant(x):
    """x, which must not be differentiated."""
    return x


def forbid(residuals, cotangent):
    raise AssertionError("differentiated in the parameters of another player")


constant.defvjp(lambda x: (x, None), forbid)


def test_a_loss_is_differentiated_in_the_parameters_of_its_player_only():
    def loss(own, other):
        return lambda params, variables, batch, key, carry: (
            per_example(batch, params[own]["w"] ** 2 * constant(params[other]["w"])),
            Aux(),
        )

    losses, optimizer = (loss("a", "b"), loss("b", "a")), optax.sgd(0.5)
    game = moves("a", "b", nets={"a": 2.0, "b": 3.0}, losses=losses, turns=(Turn(("a", "b")),), optimizer=optimizer)
    state = after(game, 1)
    assert (state.params["a"]["w"], state.params["b"]["w"]) == (2 - 2 * 3, 3 - 3 * 2)
    # The guard does guard: a player that owns both nets trips over it.
    both = Player(("a", "b"), losses[0], optimizer)
    with pytest.raises(AssertionError, match="differentiated in the parameters of another player"):
        after(toy_game(scalar_nets(a=2.0, b=3.0), {"both": both}, (Turn(("both",)),)), 1)


@loops
def test_metrics_are_means_by_name_and_turn_and_those_of_the_last_repeat(loop):
    def loss(net, metric):
        return lambda params, variables, batch, key, carry: (
            params[net]["w"] + jnp.arange(4.0),
            Aux({metric: 2 * batch["x"][:, 0] + jnp.arange(4.0)}),
        )

    losses = (loss("a", "spread"), loss("b", "width"))
    game = moves("a", "b", nets={"a": 0.0, "b": 0.0}, losses=losses, turns=(Turn(("a",), repeat=3), Turn(("b",))))
    _, metrics = next(steps_of(game, loop=loop))
    assert metrics == ({"a_loss": 1.5 - 2, "spread": 2 * 2 + 1.5}, {"b_loss": 1.5, "width": 2 * 3 + 1.5})


def test_the_loss_of_the_only_player_is_called_loss():
    _, metrics = next(
        steps_of(moves("player", nets={"player": 3.0}, losses=(linear("player", 1.0),), turns=(Turn(("player",)),)))
    )
    assert metrics == ({"loss": 3.0},)


@loops
def test_the_dtypes_of_the_state_are_its_own_from_step_to_step(loop):
    # What weak types decide, an arithmetic with bfloat16, would change when a saved state is restored without them.
    def loss(params, variables, batch, key, now):
        return per_example(batch, params["a"]["w"]) * now.carry, Aux()

    turns = (Turn(("a",), carry_update=lambda carry, metrics, outputs, key: jnp.where(carry > 0, 1.0, 0.0)),)
    state = after(moves("a", nets={"a": 1.0}, losses=(loss,), turns=turns, carry=0.5), 2, loop=loop)
    assert state.carry == 1.0
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


def test_a_step_is_a_function_of_the_state_and_the_root_key():
    def loss(params, variables, batch, key, now):
        return (params["a"]["w"] - jax.random.normal(key, (4,)) - batch["x"][:, 0]) ** 2, Aux()

    game: Game = moves("a", nets={"a": 0.0}, losses=(loss,), turns=(Turn(("a",), repeat=2),), optimizer=optax.adam(0.1))
    digests = [digest(state) for state, _ in itertools.islice(steps_of(game), 4)]
    assert digests == [digest(state) for state, _ in itertools.islice(steps_of(game, numbered_batch(game)), 4)]
    assert digest(after(game, 4, seed=1)) not in digests
