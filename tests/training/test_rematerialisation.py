"""What is kept for the backward pass; that nothing else changes is tested in test_scaling.py."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Literal, jaxprs_in_params
from toy_games import after, numbered_batch, scalar_nets, toy_game

from gen_jax.losses import gradient_penalty
from gen_jax.models import (
    ConvDecoder,
    ConvEncoder,
    DCGANDiscriminator,
    DCGANGenerator,
    ResNetCritic,
    ResNetGenerator,
    UNet,
)
from gen_jax.training import Aux, Player, Turn
from gen_jax.training.rematerialisation import BLOCK, rematerialised


def game_of(loss):
    """A game of one scalar."""
    return toy_game(scalar_nets(a=0.5), {"a": Player(("a",), loss, optax.sgd(0.1))}, (Turn(("a",)),))


def block(w, x):
    """What would keep the argument of each sine."""
    return checkpoint_name(jnp.sin(w * jnp.sin(w * jnp.sin(w * x))), BLOCK)


def chain(params, variables, batch, key, now):
    x = batch["x"] + jax.random.normal(key, batch["x"].shape)
    for _ in range(3):
        x = block(params["a"]["w"], x)
    return x.sum(1), Aux({"last": x.max(1)}, outputs=x)


def kept(game):
    """How many arrays as large as the batch the gradient of the loss needs from the pass before."""
    batch = numbered_batch(game)(0, 0)

    def objective(w):
        return game.players["a"].loss({"a": {"w": w}}, {}, batch, jax.random.key(0), None)[0].mean()

    _, backward = jax.vjp(objective, jnp.float32(0.5))
    return sum(leaf.shape == (4, 2) for leaf in jax.tree.leaves(backward))


def test_the_outputs_of_blocks_alone_are_kept():
    plain, again = game_of(chain), rematerialised(game_of(chain))
    assert kept(plain) >= 9
    # The batch, and what the first two blocks gave: the last one's output is needed for nothing.
    assert kept(again) == 3


def recomputations(jaxpr):
    """What is computed again in a backward pass, the parts of parts included, in order."""
    for equation in jaxpr.eqns:
        inner = [recomputations(part) for part in jaxprs_in_params(equation.params)]
        found = list(itertools.chain(*inner))
        if equation.params.get("differentiated") and not found:
            found = [equation]
        yield from found


def test_each_block_is_computed_again_by_itself_once_its_gradient_is_there():
    game = rematerialised(game_of(chain))
    batch = numbered_batch(game)(0, 0)

    def objective(w):
        return game.players["a"].loss({"a": {"w": w}}, {}, batch, jax.random.key(0), None)[0].mean()

    jaxpr = jax.make_jaxpr(jax.grad(objective))(jnp.float32(0.5)).jaxpr
    again = list(recomputations(jaxpr))
    sines = [sum(part.primitive.name == "sin" for part in equation.params["jaxpr"].eqns) for equation in again]
    assert [count for count in sines if count] == [2, 2, 2]
    # From the last block to the first, each takes what the one before it gave.
    for later, earlier in itertools.pairwise(again):
        assert set(later.outvars) & {given for given in earlier.invars if not isinstance(given, Literal)}


def test_a_game_learns_the_same_with_the_same_noise():
    plain, again = (after(game, 3) for game in (game_of(chain), rematerialised(game_of(chain))))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), again, plain)
    assert abs(plain.params["a"]["w"] - 0.5) > 1e-3


def test_everything_else_of_the_game_is_as_it_was():
    game = game_of(chain)
    again = rematerialised(game)
    assert (again.init, again.turns, again.sample, again.transforms) == (
        game.init,
        game.turns,
        game.sample,
        game.transforms,
    )
    assert (again.players["a"].nets, again.players["a"].optimizer) == (("a",), game.players["a"].optimizer)


def test_a_penalty_on_a_slope_is_differentiated_again():
    def loss(params, variables, batch, key, now):
        def critic(x):
            return block(params["a"]["w"], block(params["a"]["w"], x)).sum(1)

        return gradient_penalty(critic, batch["x"] + 1.0, batch["x"] - 1.0, key), Aux()

    plain, again = (after(game, 2) for game in (game_of(loss), rematerialised(game_of(loss))))
    np.testing.assert_allclose(again.params["a"]["w"], plain.params["a"]["w"], rtol=1e-5)
    assert abs(plain.params["a"]["w"] - 0.5) > 1e-3


def test_a_transposed_convolution_has_the_same_gradient():
    net = ConvDecoder((8, 8, 1), 2)
    z = jax.random.normal(jax.random.key(1), (4, 3))
    variables = jax.jit(net.init)(jax.random.key(0), z)

    def loss(variables):
        return jnp.sum(net.apply(variables, z) ** 2)

    policy = jax.checkpoint_policies.save_only_these_names(BLOCK)
    plain, again = jax.jit(lambda v: (jax.grad(loss)(v), jax.grad(jax.checkpoint(loss, policy=policy))(v)))(variables)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), again, plain)


IMAGES = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
LATENTS = jax.ShapeDtypeStruct((2, 5), jnp.float32)
TIMES = jax.ShapeDtypeStruct((2,), jnp.int32)


@pytest.mark.parametrize(
    ("model", "inputs", "blocks"),
    [
        # Down, two in the middle, two of the way up a level; attention in the middle and at 8x8.
        (UNet(4, (1, 2), 1, (8,)), (IMAGES, TIMES), 2 + 2 + 4 + 1 + 3),
        (ResNetGenerator((16, 16, 3), 4), (LATENTS,), 2),
        (ResNetCritic(4), (IMAGES,), 4),
        (DCGANGenerator((16, 16, 3), 4), (LATENTS,), 2),
        (DCGANDiscriminator(4), (IMAGES,), 2),
        (ConvEncoder(5, 4), (IMAGES,), 2),
        (ConvDecoder((16, 16, 3), 4), (LATENTS,), 2),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "apply") else None,
)
def test_every_block_of_a_convolutional_network_is_marked(model, inputs, blocks):
    mode = {} if isinstance(model, ResNetCritic | ConvEncoder | ConvDecoder) else {"train": False}
    variables = jax.eval_shape(lambda *inputs: model.init(jax.random.key(0), *inputs, **mode), *inputs)
    traced = jax.make_jaxpr(lambda variables, *inputs: model.apply(variables, *inputs, **mode))(variables, *inputs)
    assert str(traced).count(f"name[name={BLOCK}]") == blocks
