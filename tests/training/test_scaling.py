"""Options that change where, in what precision and in what order a game is computed change nothing else.

Real networks, or the blocks that they are made of, at the least size; each way is compiled once for all tests.
"""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.data import Binarized, Resident, Signed, Split
from gen_jax.losses import NoiseSchedule, cosine_betas, gradient_penalty, wasserstein
from gen_jax.methods import diffusion, gan, vae
from gen_jax.methods.likelihoods import bernoulli
from gen_jax.models import ConvDecoder, ConvEncoder, ResNetGenerator, TimeEmbedding
from gen_jax.models.resnet_gan import FirstDownBlock
from gen_jax.models.unet import ResidualBlock, SelfAttention
from gen_jax.samplers import ancestral
from gen_jax.training import Program, init_state
from gen_jax.training.game import Now
from gen_jax.training.sharding import make_mesh, replicated, state_shardings

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (48, *SHAPE)).astype(np.uint8)
BATCH = 16
# The state then has moments as large as the parameters, and no update is larger than its gradient.
MOMENTUM = optax.sgd(0.05, momentum=0.9)


class Blocks(nn.Module):
    """What a U-Net is made of, once each."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, t, *, train):
        h = nn.Conv(8, (3, 3), dtype=self.dtype)(x)
        h = ResidualBlock(8, 0.3, self.dtype)(h, TimeEmbedding(8, self.dtype)(t), train=train)
        h = SelfAttention(self.dtype)(h)
        return nn.Conv(1, (3, 3), dtype=self.dtype)(h).astype(jnp.float32)


class Critic(nn.Module):
    """A block of the residual critic."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x):
        h = FirstDownBlock(8, self.dtype)(x)
        return nn.Dense(1, dtype=self.dtype)(nn.relu(h).mean((1, 2)))[:, 0].astype(jnp.float32)


def ddpm(dtype):
    """With dropout and attention."""
    network = Blocks(dtype)
    schedule = NoiseSchedule.from_betas(cosine_betas(10))
    transform = Signed(flip=True)
    return diffusion(
        network, schedule, ancestral, shape=SHAPE, optimizer=MOMENTUM, transform=transform, average_decay=0.9
    )


def wgan_gp(dtype):
    """With batch norm in the generator, and a penalty on the slopes of the critic."""
    return gan(
        ResNetGenerator(SHAPE, 8, dtype),
        Critic(dtype),
        wasserstein,
        latent=4,
        generator_optimizer=MOMENTUM,
        discriminator_optimizer=MOMENTUM,
        transform=Signed(),
        penalty=functools.partial(gradient_penalty, weight=0.1),
    )


def conv_vae(dtype):
    """With draws of the latents and of the pixels."""
    nets = ConvEncoder(4, 8, dtype), ConvDecoder(SHAPE, 8, dtype)
    return vae(*nets, bernoulli, latent=4, optimizer=optax.sgd(1e-3, momentum=0.9), transform=Binarized())


GAMES = {"ddpm": ddpm, "wgan_gp": wgan_gp, "conv_vae": conv_vae}


@functools.cache
def beginning(name):
    """The first state, moved away from the zeros behind which a U-Net starts, on the host."""
    example = {"x": jnp.zeros((1, *SHAPE)), "index": jnp.zeros(1, jnp.int32)}
    game = GAMES[name](jnp.float32)
    state = jax.device_get(jax.jit(lambda key: init_state(game, key, example))(jax.random.key(0)))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32), state.params)
    return state.replace(params=params, averages={net: params[net] for net in state.averages})


@functools.cache
def learned(name, *, devices=1, fsdp=1, precision="float32", steps=2, **options):
    """The state on the devices, and the metrics of each turn, after a few steps."""
    game = GAMES[name](jnp.dtype(precision))
    mesh = make_mesh(jax.devices()[:devices], fsdp=fsdp)
    split = Split(len(IMAGES), arrays={"x": IMAGES})
    source = Resident(split, batch_size=BATCH, seed=0, draws=game.draws, sharding=replicated(mesh))
    shardings = state_shardings(mesh, beginning(name))
    program = Program(game, source, mesh, 0, shardings=shardings, **options)
    state = jax.device_put(beginning(name), shardings)
    for step in range(steps):
        state, _, metrics = program.advance(state, step, 1)
    return state, jax.device_get(metrics)


def agree(found, expected, begun, tolerance):
    """Each leaf, and each metric, is as near the other as a share of how far the largest of its kind has come."""
    (state, metrics), (other, other_metrics) = found, expected
    for field in ("params", "variables", "opt_state", "averages"):
        leaves = [jax.tree.leaves(getattr(tree, field)) for tree in (state, other, begun)]
        moved = max((np.abs(np.asarray(b) - c).max() for _, b, c in zip(*leaves, strict=True)), default=1.0)
        assert moved > 1e-3, f"{field} has not moved"
        for one, two, _ in zip(*leaves, strict=True):
            np.testing.assert_allclose(one, two, atol=tolerance * moved, rtol=0, err_msg=field)
    for one, two in zip(jax.tree.leaves(metrics), jax.tree.leaves(other_metrics), strict=True):
        np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)


def share_split(state, parts):
    """The share of the numbers of parameters and moments of which each device holds one in so many."""
    leaves = jax.tree.leaves((state.params, state.opt_state))
    split = [leaf for leaf in leaves if leaf.addressable_shards[0].data.size * parts == leaf.size]
    return sum(leaf.size for leaf in split) / sum(leaf.size for leaf in leaves)


@pytest.mark.slow
def test_activations_that_are_computed_again_give_the_same_with_dropout():
    agree(learned("ddpm", remat=True), learned("ddpm"), beginning("ddpm"), 1e-4)
    network = Blocks(jnp.float32)
    params, x, t = beginning("ddpm").params["network"], jnp.ones((2, *SHAPE)), jnp.arange(2)
    draw = jax.jit(lambda params, key: network.apply({"params": params}, x, t, train=True, rngs={"dropout": key}))
    # It would show if other masks were drawn.
    assert np.abs(draw(params, jax.random.key(0)) - draw(params, jax.random.key(1))).max() > 0.01


@pytest.mark.slow
def test_so_does_a_state_split_over_devices_with_a_penalty_on_slopes():
    state, metrics = learned("wgan_gp", devices=8, fsdp=4, remat=True)
    agree((state, metrics), learned("wgan_gp"), beginning("wgan_gp"), 1e-3)
    assert share_split(state, 4) > 0.9


def dtypes_of_products(lowered):
    """The dtypes of what each dot product and convolution of a program multiplies, as the platform at hand gets it."""
    operands = re.findall(r"stablehlo\.(?:convolution|dot_general)\b.* : \((.*)\) -> ", lowered.as_text())
    return [re.findall(r"\dx([a-z]\w*)>", of_one) for of_one in operands]


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize(("precision", "short"), [("float32", "f32"), ("bfloat16", "bf16")])
def test_networks_compute_forwards_and_backwards_in_the_precision_asked_for(name, precision, short):
    game = GAMES[name](jnp.dtype(precision))
    batch = {"x": jnp.zeros((2, *SHAPE)), "index": jnp.arange(2)}
    state = jax.eval_shape(lambda: init_state(game, jax.random.key(0), {"x": batch["x"][:1]}))
    for player in game.players.values():

        def objective(params, variables, player=player):
            return player.loss(params, variables, batch, jax.random.key(0), Now(None, jnp.int32(0)))[0].mean()

        found = dtypes_of_products(jax.jit(jax.grad(objective)).lower(state.params, state.variables))
        assert len(found) > 8
        assert {tuple(of_one) for of_one in found} == {(short, short)}


IN_PARTS = {"accumulate": 2, "precision": "bfloat16"}


@pytest.mark.slow
def test_what_is_learned_in_bfloat16_is_kept_in_float32():
    state, metrics = learned("ddpm", **IN_PARTS)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves((state, metrics))} == {"float32", "int32"}
    for tree in (state.params, state.opt_state, state.averages):
        leaf = np.asarray(max(jax.tree.leaves(tree), key=lambda leaf: leaf.size))
        assert (leaf != leaf.astype(jnp.bfloat16).astype(np.float32)).mean() > 0.9


@pytest.mark.slow
def test_all_options_together_learn_on_eight_devices_what_one_does():
    state, metrics = learned("ddpm", devices=8, fsdp=4, remat=True, **IN_PARTS)
    alone = learned("ddpm", **IN_PARTS)
    agree((state, metrics), alone, beginning("ddpm"), 0.03)
    assert share_split(state, 4) > 0.9
    # The noise is that of the parts.
    assert abs(alone[1][0]["loss"] / learned("ddpm")[1][0]["loss"] - 1) > 0.01
