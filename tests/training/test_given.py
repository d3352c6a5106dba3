import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import scalar_nets, toy_game

from gen_jax.data import Field
from gen_jax.errors import ConfigError
from gen_jax.training import Aux, Player, Turn
from gen_jax.training.game import Given
from gen_jax.training.given import encoded

ANIMALS = ("cat", "dog", "owl")
WORDS = ("", "a", "red", "two")


def game_of(**given):
    player = Player(("a",), lambda params, variables, batch, key, now: (jnp.zeros(1), Aux()), optax.sgd(0.1))
    return toy_game(scalar_nets(a=0.0), {"a": player}, (Turn(("a",)),), given=given)


LABEL = game_of(label=Given(Field("label", (), ANIMALS), lambda key, n: jnp.zeros(n, jnp.int32)))
TEXT = game_of(text=Given(Field("tokens", (3,), WORDS)))
LOOKS = game_of(looks=Given(Field("attributes", (2,), ("furry", "winged")), lambda key, n: jnp.zeros((n, 2))))
TABLE = game_of(row=Given(Field("table", (2,)), lambda key, n: jnp.zeros((n, 2))))


@pytest.mark.parametrize(
    ("game", "name", "value", "expected"),
    [
        (LABEL, "label", 2, [2, 2]),
        (LABEL, "label", "dog", [1, 1]),
        (LABEL, "label", "1", [1, 1]),
        (LABEL, "label", ["owl", 0], [2, 0]),
        (LABEL, "label", np.array([0, 1]), [0, 1]),
        (TEXT, "text", "two red", [[3, 2, 0], [3, 2, 0]]),
        (TEXT, "text", ["a", "red red red"], [[1, 0, 0], [2, 2, 2]]),
        (LOOKS, "looks", "winged", [[0, 1], [0, 1]]),
        (LOOKS, "looks", "winged, furry", [[1, 1], [1, 1]]),
        (LOOKS, "looks", [0.5, 1.0], [[0.5, 1.0], [0.5, 1.0]]),
        (TABLE, "row", "1.5, -2", [[1.5, -2], [1.5, -2]]),
        (TABLE, "row", np.eye(2), [[1, 0], [0, 1]]),
    ],
)
def test_one_value_for_all_or_one_for_each(game, name, value, expected):
    found = encoded(game, {name: value}, 2)[name]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == game.given[name].field.dtype


@pytest.mark.parametrize(
    ("game", "given", "message"),
    [
        (LABEL, {"lable": 3}, r"--lable does not apply: this run takes --label"),
        (game_of(), {"label": 3}, r"--label does not apply: this run takes no conditions"),
        (LABEL, {"label": "dgo"}, r"label is 'dgo'; the nearest is 'dog'; accepted: 0 to 2, or cat, dog, owl"),
        (LABEL, {"label": 3}, r"label is 3; accepted: 0 to 2, or cat, dog, owl"),
        (LABEL, {"label": "-1"}, r"label is -1; accepted: 0 to 2, or cat, dog, owl"),
        (LABEL, {"label": 0.5}, r"label is 0.5; accepted: 0 to 2"),
        (LABEL, {"label": [0, 1, 2]}, r"label has shape \(3,\); accepted: \(\), or one for each sample, \(2,\)"),
        (TEXT, {}, r"--text is missing: this run makes no sample without it"),
        (TEXT, {"text": "blue"}, r"text has the word 'blue', which is not known"),
        (TEXT, {"text": "a a a a"}, r"text has 4 words; accepted: at most 3"),
        (LOOKS, {"looks": "furry, wingde"}, r"looks has 'wingde'; the nearest is 'winged'; accepted: furry, winged"),
        (TABLE, {"row": "1, x"}, r"row is '1, x'; accepted: numbers of shape \(2,\), with commas between"),
        (TABLE, {"row": [np.nan, 1.0]}, r"row has numbers that are not finite"),
    ],
)
def test_what_cannot_be_given_is_one_line(game, given, message):
    with pytest.raises(ConfigError, match=message):
        encoded(game, given, 2)


def test_none_is_not_given():
    assert encoded(LABEL, {"label": None}, 2) == {}
