"""Autoencoders: one player owns encoder and decoder and makes reconstructions like their examples. No samples."""

import functools

import flax.linen as nn
import jax.numpy as jnp
import optax

from gen_jax.data.field import Field
from gen_jax.losses import sum_per_example
from gen_jax.methods.nets import Nets, init
from gen_jax.methods.views import interpolations, reconstructions, straight_path
from gen_jax.training import keys
from gen_jax.training.game import (
    Array,
    Aux,
    Batch,
    Codec,
    Game,
    Now,
    Params,
    Player,
    Reported,
    Transform,
    Turn,
    Variables,
)


def autoencoder(
    encoder: nn.Module,
    decoder: nn.Module,
    *,
    latent: int,
    optimizer: optax.GradientTransformation,
    transform: Transform,
) -> Game:
    """A deterministic autoencoder: sum over dimensions of (x - decoder(encoder(x)))^2.

    Hinton & Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, Science 313, 2006,
    doi 10.1126/science.1127647.

    Args:
      encoder: x -> z (batch, latent).
      decoder: z -> x.
      latent: dimensions of z.
      optimizer: of both networks.
      transform: from stored data to x in the decoder's range.
    """
    nets = functools.partial(Nets, {"encoder": encoder, "decoder": decoder})

    def error(nets: Nets, x: Array) -> Array:
        return sum_per_example(jnp.square(nets("decoder", nets("encoder", x)) - x))

    def loss(params: Params, variables: Variables, batch: Batch, key: Array, now: Now) -> tuple[Array, Aux]:
        using = nets(params, variables, key, train=True)
        return error(using, batch["x"]), using.aux()

    def evaluate(params: Params, variables: Variables, batch: Batch, key: Array) -> dict[str, Array]:
        return {"reconstruction": error(nets(params, variables), batch["x"])}

    def encode(params: Params, variables: Variables, x: Array, key: Array) -> Array:
        return nets(params, variables)("encoder", x)

    def decode(params: Params, variables: Variables, z: Array, key: Array) -> Array:
        return nets(params, variables)("decoder", z)

    # Nobody says how its codes are distributed, so it draws none; a straight line joins two of them.
    codec = Codec(Field("codes", (latent,)), decode, encode, None, straight_path, nets=("encoder",))
    return Game(
        init=lambda key, example: {
            "encoder": init(encoder, keys.derive(key, "encoder"), example["x"]),
            "decoder": init(decoder, keys.derive(key, "decoder"), jnp.zeros((1, latent))),
        },
        players={"autoencoder": Player(("encoder", "decoder"), loss, optimizer)},
        turns=(Turn(("autoencoder",)),),
        transforms={"x": transform},
        evaluate=evaluate,
        views={"reconstructions": reconstructions(codec), "interpolations": interpolations(codec)},
        codec=codec,
        reports={"reconstruction": Reported("Squared error of reconstructions", better="smaller")},
    )
