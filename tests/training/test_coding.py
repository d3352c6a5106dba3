import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import scalar_nets, start, toy_game

from gen_jax.data import Field, Scaled
from gen_jax.errors import ConfigError
from gen_jax.training import Aux, Player, Turn
from gen_jax.training.coding import Coder
from gen_jax.training.game import Codec, Given
from gen_jax.training.sharding import make_mesh

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)


def straight(start, end, columns):
    return jnp.stack([start + (end - start) * s for s in np.linspace(0, 1, columns)], axis=1)


def coded_game(encoder=True, given=None):
    """Codes are twice what the network sees, and one more for each class."""

    def encode(params, variables, x, key, label=0):
        return params["a"]["w"] * x + jnp.reshape(label, (-1, 1))

    def decode(params, variables, codes, key, label=0):
        return (codes - jnp.reshape(label, (-1, 1))) / params["a"]["w"]

    codec = Codec(Field("codes", (2,)), decode, encode if encoder else None, None, straight, nets=("a",))
    player = Player(("a",), lambda params, variables, batch, key, now: (jnp.zeros(1), Aux()), optax.sgd(0.1))
    return toy_game(
        scalar_nets(a=2.0), {"a": player}, (Turn(("a",)),), codec=codec, given=given or {}, transform=Scaled(4.0)
    )


def test_codes_are_of_what_networks_see_and_what_they_make_is_as_stored():
    game = coded_game()
    coder = Coder(game, make_mesh(jax.devices()[:1]), chunk=4)
    codes = coder.encode(start(game), X, KEY)
    np.testing.assert_allclose(codes, 2 * X / 4, rtol=1e-6)
    np.testing.assert_allclose(coder.decode(start(game), codes, KEY), X, rtol=1e-6)


def test_conditions_go_with_their_rows_from_chunk_to_chunk():
    game = coded_game(
        given={"label": Given(Field("label", (), ("a", "b", "c")), lambda key, n: jnp.zeros(n, jnp.int32))}
    )
    label = np.arange(10) % 3
    coder = Coder(game, make_mesh(jax.devices()[:1]), chunk=4)
    codes = coder.encode(start(game), X, KEY, label=label)
    np.testing.assert_allclose(codes, X / 2 + label[:, None], rtol=1e-6)
    np.testing.assert_allclose(coder.decode(start(game), codes, KEY, label=label), X, rtol=1e-5)
    with pytest.raises(ConfigError, match=r"^--label is missing: the codec of this method depends on it$"):
        coder.encode(start(game), X, KEY)


def test_what_a_method_cannot_do_is_one_line_that_says_what_it_can():
    game = coded_game(encoder=False)
    coder = Coder(game, make_mesh(jax.devices()[:1]))
    with pytest.raises(ConfigError, match=r"^this method cannot encode; it can: decode, interpolate$"):
        coder.encode(start(game), X, KEY)
    with pytest.raises(ConfigError, match=r"^codes have shape \(10, 3\); accepted: \('n', 2\)$"):
        coder.decode(start(game), np.zeros((10, 3), np.float32), KEY)
