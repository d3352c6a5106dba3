"""Variational autoencoders: one player owns the encoder and the decoder and climbs the ELBO."""

import functools
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gen_jax.data.field import Field
from gen_jax.losses import beta_elbo, elbo, free_bits, kl_diagonal_gaussians, kl_diagonal_gaussians_per_dim
from gen_jax.methods.averages import warmed_up_decay
from gen_jax.methods.conditions import Conditions
from gen_jax.methods.likelihoods import Likelihood
from gen_jax.methods.nets import Nets, init
from gen_jax.methods.reported import ELBO, KL, LOG_LIKELIHOOD
from gen_jax.methods.views import flatten, interpolations, reconstructions, spherical_path, unflatten
from gen_jax.training import keys
from gen_jax.training.game import (
    Array,
    Aux,
    Batch,
    Codec,
    Density,
    Game,
    Now,
    Params,
    Player,
    Transform,
    Turn,
    Variables,
)


def vae(
    encoder: nn.Module,
    decoder: nn.Module,
    likelihood: Likelihood,
    *,
    latent: int,
    optimizer: optax.GradientTransformation,
    transform: Transform,
    beta: float | optax.Schedule = 1.0,
    free_nats: float = 0.0,
    average_decay: float = 0.0,
    conditions: Mapping[str, Field] = {},
) -> Game:
    """The VAE of Kingma & Welling, arXiv 1312.6114, with beta (Higgins et al., 2017) and free bits (arXiv 1606.04934).

    With conditions y it is the conditional VAE of Sohn et al. (NeurIPS 2015), whose prior is N(0, I) for every y:

        log p(x | y) >= E_{q(z | x, y)} log p(x | z, y) - KL(q(z | x, y) || N(0, I))

    Args:
      encoder: x, or x and y (batch, conditions) -> (mean, log-variance) of q(z | x), each (batch, latent).
      decoder: z (batch, latent), or z and y -> the likelihood's parameters.
      likelihood: p(x | z).
      latent: dimensions of z.
      optimizer: of both networks.
      transform: from stored data to x in the likelihood's range.
      beta: weight of the KL term in the training loss, or a schedule of it over steps (annealing).
      free_nats: nats of KL that each latent dimension has for nothing in the training loss.
      average_decay: of the exponential averages of the weights, which sample and are evaluated; 0 for none.
      conditions: entries of the data that encoder and decoder are given: a label, attributes, numbers.

    Returns:
      The game, which reports `elbo` with beta 1 and no free bits, whatever it trains on. Its views are the data beside
      their reconstructions, each the mean of p(x | z) at the mean of q(z | x), and the same on the way from each
      example to the next.
    """
    nets = functools.partial(Nets, {"encoder": encoder, "decoder": decoder})
    given = Conditions(conditions)

    def terms(nets: Nets, batch: Batch, key: Array) -> tuple[dict[str, Array], tuple[Array, Array]]:
        x, y = batch["x"], given.of(batch)
        mean, log_var = nets("encoder", x, *y)
        z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(keys.derive(key, "latent"), mean.shape)
        log_likelihood = likelihood.log_prob(nets("decoder", z, *y), x)
        kl = kl_diagonal_gaussians(mean, log_var)
        return {"elbo": elbo(log_likelihood, kl), "log_likelihood": log_likelihood, "kl": kl}, (mean, log_var)

    def loss(params: Params, variables: Variables, batch: Batch, key: Array, now: Now) -> tuple[Array, Aux]:
        using = nets(params, variables, key, train=True)
        metrics, posterior = terms(using, batch, key)
        kl = free_bits(kl_diagonal_gaussians_per_dim(*posterior), free_nats) if free_nats else metrics["kl"]
        weight = beta(now.step) if callable(beta) else beta
        return -beta_elbo(metrics["log_likelihood"], kl, weight), using.aux(metrics)

    def evaluate(params: Params, variables: Variables, batch: Batch, key: Array) -> dict[str, Array]:
        return terms(nets(params, variables), batch, key)[0]

    def encode(params: Params, variables: Variables, x: Array, key: Array, **asked: Array) -> Array:
        return nets(params, variables)("encoder", x, *given.of(asked))[0]

    def decode(params: Params, variables: Variables, z: Array, key: Array, **asked: Array) -> Array:
        return likelihood.mean(nets(params, variables)("decoder", z, *given.of(asked)))

    def log_weights(params: Params, variables: Variables, batch: Batch, key: Array, k: int) -> Array:
        using, x, y = nets(params, variables), batch["x"], given.of(batch)
        mean, log_var = using("encoder", x, *y)
        # The examples come first, so that a batch that is split over devices stays where it is.
        noise = jax.random.normal(key, (len(x), k, latent))
        z = mean[:, None] + jnp.exp(0.5 * log_var)[:, None] * noise
        decoded = using("decoder", flatten(z), *(one.repeat(k, axis=0) for one in y))
        log_likelihood = jax.vmap(likelihood.log_prob, in_axes=(1, None))(unflatten(decoded, k), x)
        # log p(z) - log q(z | x): the constants cancel, and (z - mean)^2 / var is the noise squared.
        log_ratio = 0.5 * jnp.sum(noise**2 + log_var[:, None] - z**2, axis=-1)
        return log_likelihood + log_ratio.T

    def prior(key: Array, n: int) -> Array:
        return jax.random.normal(key, (n, latent))

    def sample(params: Params, variables: Variables, key: Array, n: int, **asked: Array) -> Array:
        return decode(params, variables, prior(key, n), key, **asked)

    codec = Codec(Field("codes", (latent,)), decode, encode, prior, spherical_path, nets=("encoder",))
    observed = likelihood.observed(transform)
    return Game(
        init=lambda key, example: {
            "encoder": init(encoder, keys.derive(key, "encoder"), example["x"], *given.of(example)),
            "decoder": init(decoder, keys.derive(key, "decoder"), jnp.zeros((1, latent)), *given.of(example)),
        },
        players={"vae": Player(("encoder", "decoder"), loss, optimizer)},
        turns=(Turn(("vae",)),),
        transforms={"x": transform},
        sample=sample,
        given=given.drawn,
        evaluate=evaluate,
        averages=dict.fromkeys(("encoder", "decoder"), warmed_up_decay(average_decay)) if average_decay else {},
        density=None if observed is None else Density(observed, log_weights),
        views={
            "reconstructions": reconstructions(codec, given.names),
            "interpolations": interpolations(codec, given.names),
        },
        codec=codec,
        reports={"elbo": ELBO, "kl": KL, "log_likelihood": LOG_LIKELIHOOD},
    )
