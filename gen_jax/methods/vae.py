"""Variational autoencoders: one player owns the encoder and the decoder and climbs the ELBO."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gen_jax.losses import beta_elbo, elbo, free_bits, kl_diagonal_gaussians, kl_diagonal_gaussians_per_dim
from gen_jax.methods.averages import warmed_up_decay
from gen_jax.methods.forward import forward, init
from gen_jax.methods.likelihoods import Likelihood
from gen_jax.methods.views import COLUMNS, flatten, rows_of, spherical_path, unflatten
from gen_jax.training import keys
from gen_jax.training.game import Array, Aux, Batch, Density, Game, Params, Player, Transform, Turn, Variables


def vae(
    encoder: nn.Module,
    decoder: nn.Module,
    likelihood: Likelihood,
    *,
    latent: int,
    optimizer: optax.GradientTransformation,
    transform: Transform,
    beta: float = 1.0,
    free_nats: float = 0.0,
    average_decay: float = 0.0,
) -> Game:
    """The VAE of Kingma & Welling, arXiv 1312.6114, with beta (Higgins et al., 2017) and free bits (arXiv 1606.04934).

    Args:
      encoder: x -> (mean, log-variance) of q(z | x), each (batch, latent).
      decoder: z (batch, latent) -> the likelihood's parameters.
      likelihood: p(x | z).
      latent: dimensions of z.
      optimizer: of both networks.
      transform: from stored data to x in the likelihood's range.
      beta: weight of the KL term in the training loss.
      free_nats: nats of KL that each latent dimension has for nothing in the training loss.
      average_decay: of the exponential averages of the weights, which sample and are evaluated; 0 for none.

    Returns:
      The game, which reports `elbo` with beta 1 and no free bits, whatever it trains on. Its views are the data beside
      their reconstructions, each the mean of p(x | z) at the mean of q(z | x), and the same on the way from each
      example to the next.
    """

    def terms(params: Params, variables: Variables, x: Array, key: Array, train: bool) -> tuple:
        (mean, log_var), encoder_variables = forward(
            "encoder", encoder, params, variables, x, train=train, key=keys.derive(key, "encoder")
        )
        z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(keys.derive(key, "latent"), mean.shape)
        decoded, decoder_variables = forward(
            "decoder", decoder, params, variables, z, train=train, key=keys.derive(key, "decoder")
        )
        log_likelihood, kl = likelihood.log_prob(decoded, x), kl_diagonal_gaussians(mean, log_var)
        metrics = {"elbo": elbo(log_likelihood, kl), "log_likelihood": log_likelihood, "kl": kl}
        return metrics, (mean, log_var), {"encoder": encoder_variables, "decoder": decoder_variables}

    def loss(params: Params, variables: Variables, batch: Batch, key: Array, carry: None) -> tuple[Array, Aux]:
        metrics, posterior, variables = terms(params, variables, batch["x"], key, train=True)
        kl = free_bits(kl_diagonal_gaussians_per_dim(*posterior), free_nats) if free_nats else metrics["kl"]
        return -beta_elbo(metrics["log_likelihood"], kl, beta), Aux(metrics, variables)

    def evaluate(params: Params, variables: Variables, batch: Batch, key: Array) -> dict[str, Array]:
        return terms(params, variables, batch["x"], key, train=False)[0]

    def encode(params: Params, variables: Variables, x: Array) -> tuple[Array, Array]:
        return forward("encoder", encoder, params, variables, x, train=False)[0]

    def decode(params: Params, variables: Variables, z: Array) -> Array:
        return forward("decoder", decoder, params, variables, z, train=False)[0]

    def log_weights(params: Params, variables: Variables, batch: Batch, key: Array, k: int) -> Array:
        x = batch["x"]
        mean, log_var = encode(params, variables, x)
        # The examples come first, so that a batch that is split over devices stays where it is.
        noise = jax.random.normal(key, (len(x), k, latent))
        z = mean[:, None] + jnp.exp(0.5 * log_var)[:, None] * noise
        decoded = unflatten(decode(params, variables, flatten(z)), k)
        log_likelihood = jax.vmap(likelihood.log_prob, in_axes=(1, None))(decoded, x)
        # log p(z) - log q(z | x): the constants cancel, and (z - mean)^2 / var is the noise squared.
        log_ratio = 0.5 * jnp.sum(noise**2 + log_var[:, None] - z**2, axis=-1)
        return log_likelihood + log_ratio.T

    def sample(params: Params, variables: Variables, key: Array, n: int) -> Array:
        z = jax.random.normal(key, (n, latent))
        return likelihood.mean(decode(params, variables, z))

    def reconstructions(params: Params, variables: Variables, batch: Batch, key: Array) -> Array:
        x = rows_of(batch["x"])
        mean, _ = encode(params, variables, x)
        return jnp.stack([x, likelihood.mean(decode(params, variables, mean))], axis=1)

    def interpolations(params: Params, variables: Variables, batch: Batch, key: Array) -> Array:
        mean, _ = encode(params, variables, rows_of(batch["x"]))
        # Each row ends where the next begins.
        z = spherical_path(mean, jnp.roll(mean, -1, axis=0))
        return unflatten(likelihood.mean(decode(params, variables, flatten(z))), COLUMNS)

    observed = likelihood.observed(transform)
    return Game(
        init=lambda key, example: {
            "encoder": init(encoder, keys.derive(key, "encoder"), example["x"]),
            "decoder": init(decoder, keys.derive(key, "decoder"), jnp.zeros((1, latent))),
        },
        players={"vae": Player(("encoder", "decoder"), loss, optimizer)},
        turns=(Turn(("vae",)),),
        transform=transform,
        sample=sample,
        evaluate=evaluate,
        averages=dict.fromkeys(("encoder", "decoder"), warmed_up_decay(average_decay)) if average_decay else {},
        density=None if observed is None else Density(observed, log_weights),
        views={"reconstructions": reconstructions, "interpolations": interpolations},
    )
