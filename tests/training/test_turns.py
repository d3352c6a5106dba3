import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import after, linear, moves, numbered_batch, per_example, start, steps_of, weights

from gen_jax.training import Aux, Turn, digest
from gen_jax.training import keys as key_paths
from gen_jax.training.step import train_step

loops = pytest.mark.parametrize("loop", [False, True], ids=["unrolled", "looped"])


@loops
@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ((Turn(("a", "b")),), (0.0, 2.5)),
        ((Turn(("b", "a")),), (0.0, 2.5)),
        ((Turn(("a",)), Turn(("b",))), (0.0, 2.0)),
        ((Turn(("b",)), Turn(("a",))), (-0.25, 2.5)),
    ],
    ids=["together", "together, named the other way round", "a first", "b first"],
)
def test_players_of_a_turn_see_the_old_parameters_and_the_next_turn_the_new(turns, expected, loop):
    # min over a and max over b of a * b, from (1, 2), with a step size of 1/2.
    def product(sign):
        return lambda params, variables, batch, key, carry: (
            per_example(batch, sign * params["a"]["w"] * params["b"]["w"]),
            Aux(),
        )

    optimizer = optax.sgd(0.5)
    game = moves(
        "a", "b", nets={"a": 1.0, "b": 2.0}, losses=(product(1), product(-1)), turns=turns, optimizer=optimizer
    )
    state = after(game, 1, loop=loop)
    assert (float(state.params["a"]["w"]), float(state.params["b"]["w"])) == expected


@loops
def test_each_repeat_sees_a_fresh_batch_unless_told_to_look_again(loop):
    def look(params, variables, batch, key, now):
        return per_example(batch, params["a"]["w"]), Aux(outputs=batch["x"][0, 0])

    def remember(carry, metrics, outputs, key):
        count, seen = carry
        return count + 1, seen.at[count].set(outputs["a"])

    turns = (
        Turn(("a",), repeat=3, carry_update=remember),
        Turn(("a",), repeat=2, fresh=False, carry_update=remember),
        Turn(("a",), carry_update=remember),
        Turn(("a",), fresh=False, carry_update=remember),
    )
    carry = (0, np.full(14, -1.0, np.float32))
    game = moves("a", nets={"a": 0.0}, losses=(look,), turns=turns, carry=carry)
    count, seen = after(game, 2, loop=loop).carry
    assert count == 14
    assert seen.tolist() == [0, 1, 2, 2, 2, 3, 3, 4, 5, 6, 6, 6, 7, 7]


@loops
def test_a_lazy_turn_is_taken_in_steps_that_are_multiples(loop):
    turns = (Turn(("b",)), Turn(("a",), every=3))
    game = moves("a", "b", nets={"a": 0.0, "b": 0.0}, losses=(linear("a", -1.0), linear("b", -1.0)), turns=turns)
    assert weights(game, 7, "a", loop=loop) == [0, 0, 1, 1, 1, 2, 2]
    assert weights(game, 7, "b", loop=loop) == [1, 2, 3, 4, 5, 6, 7]


@loops
def test_a_lazy_turn_keeps_the_numbers_of_its_batches_when_it_is_not_taken(loop):
    def look(params, variables, batch, key, now):
        return per_example(batch, params["a"]["w"]), Aux({"x": batch["x"][:, 0]})

    turns = (Turn(("a",)), Turn(("a",), repeat=2, every=2), Turn(("a",)))
    history = itertools.islice(steps_of(moves("a", nets={"a": 0.0}, losses=(look,), turns=turns), loop=loop), 3)
    seen = [[int(metrics[turn]["x"]) for turn in (0, 2)] for _, metrics in history]
    assert seen == [[0, 3], [4, 7], [8, 11]]


@loops
def test_the_carry_is_updated_from_mean_metrics_outputs_and_a_key_of_its_own(loop):
    def loss(params, variables, batch, key, now):
        metrics = {"each": jnp.arange(4.0) + now.carry["each"], "one": jnp.float32(5.0)}
        return per_example(batch, params["a"]["w"] + 0.5), Aux(metrics, outputs=batch["x"])

    def update(carry, metrics, outputs, key):
        assert set(outputs) == {"a"}
        return {**metrics, "outputs": outputs["a"], "key": jax.random.key_data(key)}

    shapes = {"each": (), "one": (), "loss": (), "outputs": (4, 2)}
    carry = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()} | {"key": np.zeros(2, np.uint32)}
    turns = (Turn(("a",)), Turn(("a",), repeat=2, carry_update=update))
    found = after(moves("a", nets={"a": 3.0}, losses=(loss,), turns=turns, carry=carry), 1, loop=loop).carry
    # Two moves come before the last, each down by the gradient 1; the mean of 0..3 is 1.5, added twice.
    assert {name: float(found[name]) for name in ("each", "one", "loss")} == {"each": 3.0, "one": 5.0, "loss": 1.5}
    np.testing.assert_array_equal(found["outputs"], np.full((4, 2), 2.0))
    turn_key = key_paths.derive(jax.random.key(0), "turn", 0, 1, 1)
    np.testing.assert_array_equal(found["key"], jax.random.key_data(key_paths.derive(turn_key, "carry")))


def test_losses_see_the_carry_of_the_turn_before():
    def loss(params, variables, batch, key, now):
        return per_example(batch, params["a"]["w"] * now.carry), Aux()

    turns = (Turn(("a",), repeat=2, carry_update=lambda carry, metrics, outputs, key: carry + 1), Turn(("a",)))
    game = moves("a", nets={"a": 0.0}, losses=(loss,), turns=turns, carry=1.0)
    assert weights(game, 2) == [-(1 + 2 + 3), -(1 + 2 + 3) - (3 + 4 + 5)]


@pytest.mark.parametrize("name", ["key", "index"])
def test_all_players_of_a_turn_see_the_same_key_and_batch_and_no_other_turn_does(name):
    seen = []

    def look(params, variables, batch, key, now):
        data = {"key": jax.random.key_data(key), "index": batch["index"]}
        return per_example(batch, params["a"]["w"] + params["b"]["w"]), Aux(outputs=data[name])

    def remember(carry, metrics, outputs, key):
        seen.append({player: tuple(map(int, value)) for player, value in outputs.items()})
        return carry

    def draw(step, number):
        return {"x": jnp.zeros((4, 2)), "index": jnp.arange(4, dtype=jnp.int32) + 10 * (3 * step + number)}

    turns = (Turn(("a", "b"), repeat=2, carry_update=remember), Turn(("b", "a"), carry_update=remember))
    game = moves("a", "b", nets={"a": 0.0, "b": 0.0}, losses=(look, look), turns=turns)
    with jax.disable_jit():
        after(game, 2, draw)
    assert all(players["a"] == players["b"] for players in seen)
    assert len({players["a"] for players in seen}) == len(seen) == 6


def phased_game():
    """The first turn ends with step 6, the second begins after step 4, every second step; both draw noise."""

    def loss(net):
        def noisy(params, variables, batch, key, now):
            return (params[net]["w"] * jax.random.normal(key, (len(batch["x"]),)) - batch["x"][:, 0]) ** 2, Aux()

        return noisy

    turns = (Turn(("a",), end=6), Turn(("b",), begin=4, every=2))
    nets, losses = {"a": 1.0, "b": 1.0}, (loss("a"), loss("b"))
    return moves("a", "b", nets=nets, losses=losses, turns=turns, optimizer=optax.adam(0.1))


def test_a_phase_is_due_from_its_beginning_to_its_end():
    game = phased_game()
    assert [game.due(step) for step in range(8)] == [
        *[(True, False)] * 4,
        *[(True, False), (True, True)],
        *[(False, False), (False, True)],
    ]


@pytest.mark.parametrize("cut", [3, 4, 5, 6, 7])
def test_a_run_that_is_cut_at_the_border_of_a_phase_goes_on_to_the_bit(cut):
    game, root = phased_game(), jax.random.key(0)
    step = jax.jit(functools.partial(train_step, game, numbered_batch(game), unroll=True), static_argnames="due")
    looped = jax.jit(functools.partial(train_step, game, numbered_batch(game), due=None, unroll=False))
    cut_off = whole = in_a_loop = start(game)
    for number in range(10):
        if number == cut:
            # As from a disk: nothing but the values of the leaves.
            cut_off = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), cut_off)
        cut_off, whole = (step(state, root, due=game.due(number))[0] for state in (cut_off, whole))
        in_a_loop = looped(in_a_loop, root)[0]
    assert digest(cut_off) == digest(whole)
    for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(in_a_loop.params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("phase", [{"begin": -1}, {"begin": 3, "end": 3}, {"begin": 3, "end": 2}])
def test_a_phase_that_never_is_is_refused(phase):
    with pytest.raises(ValueError, match="a turn begins at step 0 or later, and ends after it begins"):
        moves("a", nets={"a": 0.0}, losses=(linear("a", 1.0),), turns=(Turn(("a",), **phase),))
