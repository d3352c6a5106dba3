import re

import jax
import optax
import pytest
from toy_games import scalar_nets, toy_game

from gen_jax.training import Player, Turn
from gen_jax.training.game import keep_carry, unchanged


def nobody(params, variables, batch, key, now):
    raise AssertionError("no loss is called when a game is made")


def players(*names, **nets):
    """Players of these names; each owns a net of its own name unless told otherwise."""
    return {name: Player(nets.get(name, (name,)), nobody, optax.sgd(0.1)) for name in names}


def game(players, *turns):
    return toy_game(scalar_nets(a=0.0, b=0.0), players, turns)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: game(players("a")), "a game needs at least one turn"),
        (
            lambda: game(players("a"), Turn(("a",), fresh=False)),
            "the first turn must draw a fresh batch: there is no earlier one to look at",
        ),
        (lambda: game(players("a"), Turn(("a", "z"))), "a turn names ['z'], but the players are ['a']"),
        (
            lambda: game(players("a"), Turn(("a",), repeat=0)),
            "repeat and every count from 1: Turn(players=('a',), repeat=0",
        ),
        (
            lambda: game(players("a"), Turn(("a",), every=0)),
            "repeat and every count from 1: Turn(players=('a',), repeat=1",
        ),
        (
            lambda: game(players("a", "b", b=("b", "a")), Turn(("a", "b"))),
            "players of one turn move together, so no two may own the same net: ['a', 'b', 'a']",
        ),
        (
            lambda: game(players("a", a=("a", "a")), Turn(("a",))),
            "players of one turn move together, so no two may own the same net: ['a', 'a']",
        ),
        (lambda: game(players("a", "c", "b"), Turn(("a",))), "these players never move: ['b', 'c']"),
    ],
)
def test_a_game_that_cannot_be_played_says_why(make, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        make()


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"host": Player(("b",), nobody, optax.sgd(0.1))},
        {"host": Player(("a",), nobody, "guest")},
        {"host": Player(("a",), nobody, "other"), "other": Player(("a",), nobody, optax.sgd(0.1))},
    ],
    ids=["no such player", "other nets", "each other's", "a chain"],
)
def test_an_optimizer_is_shared_only_with_a_player_of_the_same_nets_that_has_one(others):
    turns = [Turn((name,)) for name in ("guest", *others)]
    message = (
        "player 'guest' shares the optimizer of 'host', which must be a player of the same nets ('a',) "
        "with an optimizer of its own"
    )
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        game({"guest": Player(("a",), nobody, "host"), **others}, *turns)


def test_two_players_may_own_the_same_net_in_different_turns():
    made = game(players("a", "b", b=("a",)), Turn(("a",)), Turn(("b",)))
    assert made.optimizer("b")[0] == "b"


def test_a_shared_optimizer_is_that_of_its_host():
    host = Player(("a",), nobody, optax.sgd(0.1))
    made = game({"guest": Player(("a",), nobody, "host"), "host": host}, Turn(("host",)), Turn(("guest",)))
    assert made.optimizer("guest") == made.optimizer("host") == ("host", host.optimizer)


def test_draws_are_numbered_in_the_order_of_the_turns():
    turns = (
        Turn(("a",), repeat=3),
        Turn(("b",), fresh=False, repeat=2),
        Turn(("a",), every=4),
        Turn(("b",), fresh=False),
    )
    made = game(players("a", "b"), *turns)
    assert made.draws == 3 + 1
    assert [made.first_draw(index) for index in range(4)] == [0, 2, 3, 3]


def test_lazy_turns_are_due_in_steps_that_are_multiples():
    made = game(players("a"), Turn(("a",)), Turn(("a",), every=2), Turn(("a",), every=3))
    assert [made.due(step) for step in range(6)] == [
        (True, False, False),
        (True, True, False),
        (True, False, True),
        (True, True, False),
        (True, False, False),
        (True, True, True),
    ]


def test_what_a_player_and_a_turn_do_unless_told():
    carry, params = object(), object()
    assert keep_carry(carry, {}, {}, jax.random.key(0)) is carry
    assert unchanged(params) is params
    assert players("a")["a"].project is unchanged
    assert Turn(("a",)) == Turn(("a",), repeat=1, every=1, fresh=True, carry_update=keep_carry)
