"""Adversarial games: a generator against a discriminator, or a critic."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gen_jax.losses import AdversarialLoss
from gen_jax.methods.averages import warmed_up_decay
from gen_jax.methods.forward import forward, init
from gen_jax.methods.views import COLUMNS, flatten, rows_of, spherical_path, unflatten
from gen_jax.training import keys
from gen_jax.training.game import (
    Array,
    Aux,
    Batch,
    Game,
    Params,
    Player,
    Transform,
    Turn,
    Variables,
    unchanged,
)

Penalty = Callable[[Callable[[Array], Array], Array, Array, Array], Array]
"""(discriminator, real, fake, key) -> (batch,), such as `gradient_penalty`."""


def normal_prior(key: Array, n: int, latent: int) -> Array:
    """z ~ N(0, I), (n, latent)."""
    return jax.random.normal(key, (n, latent))


def uniform_prior(key: Array, n: int, latent: int) -> Array:
    """z ~ U[-1, 1], (n, latent)."""
    return jax.random.uniform(key, (n, latent), minval=-1.0, maxval=1.0)


def mean_logits(real_logits: Array, fake_logits: Array) -> dict[str, Array]:
    """What a discriminator answers: its logits are 0 where it cannot tell."""
    return {"real_logits": real_logits, "fake_logits": fake_logits}


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    loss: AdversarialLoss,
    *,
    latent: int,
    generator_optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    transform: Transform,
    prior: Callable[[Array, int, int], Array] = normal_prior,
    discriminator_steps: int = 1,
    penalty: Penalty | None = None,
    project: Callable[[Any], Any] = unchanged,
    measure: Callable[[Array, Array], dict[str, Array]] = mean_logits,
    average_decay: float = 0.0,
) -> Game:
    """A two-player game: discriminator steps on fresh batches, then one of the generator.

    Goodfellow et al., Generative Adversarial Networks, arXiv 1406.2661, algorithm 1. WGAN (arXiv 1701.07875) is this
    with another loss and a projection, WGAN-GP (arXiv 1704.00028) with another loss and a penalty.

    Args:
      generator: z (batch, latent) -> x.
      discriminator: x -> logits or scores (batch,).
      loss: what each side minimises.
      latent: dimensions of z.
      generator_optimizer: moves the generator.
      discriminator_optimizer: moves the discriminator.
      transform: from stored data to x in the generator's range.
      prior: (key, n, latent) -> z.
      discriminator_steps: how often the discriminator moves before the generator does (n_critic).
      penalty: added to the discriminator's loss.
      project: applied to the discriminator's parameters after each of its steps.
      average_decay: of an exponential average of the generator's weights, which samples; 0 for none.
      measure: (real_logits, fake_logits) -> further metrics of the discriminator, each (batch,).
    """

    def generate(params: Params, variables: Variables, n: int, key: Array, train: bool) -> tuple[Array, dict]:
        z = prior(keys.derive(key, "latent"), n, latent)
        return forward("generator", generator, params, variables, z, train=train, key=keys.derive(key, "generator"))

    def judge(params: Params, variables: Variables, x: Array, key: Array, train: bool = True) -> tuple[Array, dict]:
        return forward("discriminator", discriminator, params, variables, x, train=train, key=key)

    def discriminator_loss(
        params: Params, variables: Variables, batch: Batch, key: Array, carry: None
    ) -> tuple[Array, Aux]:
        real = batch["x"]
        fake, _ = generate(params, variables, len(real), key, train=True)
        real_logits, updated = judge(params, variables, real, keys.derive(key, "real"))
        variables = {**variables, "discriminator": updated}
        fake_logits, updated = judge(params, variables, fake, keys.derive(key, "fake"))
        metrics = measure(real_logits, fake_logits)
        per_example = loss.discriminator(real_logits, fake_logits)
        if penalty is not None:
            penalised = penalty(
                lambda x: judge(params, variables, x, keys.derive(key, "fake"))[0],
                real,
                fake,
                keys.derive(key, "penalty"),
            )
            metrics["penalty"] = penalised
            per_example = per_example + penalised
        return per_example, Aux(metrics, {"discriminator": updated})

    def generator_loss(
        params: Params, variables: Variables, batch: Batch, key: Array, carry: None
    ) -> tuple[Array, Aux]:
        fake, updated = generate(params, variables, len(batch["x"]), key, train=True)
        fake_logits, _ = judge(params, variables, fake, keys.derive(key, "fake"))
        return loss.generator(fake_logits), Aux(variables={"generator": updated})

    def evaluate(params: Params, variables: Variables, batch: Batch, key: Array) -> dict[str, Array]:
        real = batch["x"]
        fake, _ = generate(params, variables, len(real), key, train=False)
        real_logits, _ = judge(params, variables, real, key, train=False)
        fake_logits, _ = judge(params, variables, fake, key, train=False)
        return {
            "discriminator_loss": loss.discriminator(real_logits, fake_logits),
            "generator_loss": loss.generator(fake_logits),
            **measure(real_logits, fake_logits),
        }

    def interpolations(params: Params, variables: Variables, batch: Batch, key: Array) -> Array:
        n = len(rows_of(batch["x"]))
        start, end = (prior(keys.derive(key, name), n, latent) for name in ("start", "end"))
        z = flatten(spherical_path(start, end))
        return unflatten(forward("generator", generator, params, variables, z, train=False)[0], COLUMNS)

    def initialise(key: Array, example: Batch) -> dict[str, dict]:
        z = jnp.zeros((1, latent))
        return {
            "generator": init(generator, keys.derive(key, "generator"), z),
            "discriminator": init(discriminator, keys.derive(key, "discriminator"), example["x"]),
        }

    return Game(
        init=initialise,
        players={
            "discriminator": Player(("discriminator",), discriminator_loss, discriminator_optimizer, project),
            "generator": Player(("generator",), generator_loss, generator_optimizer),
        },
        # The generator looks at no data, so it draws none.
        turns=(Turn(("discriminator",), repeat=discriminator_steps), Turn(("generator",), fresh=False)),
        transform=transform,
        sample=lambda params, variables, key, n: generate(params, variables, n, key, train=False)[0],
        evaluate=evaluate,
        averages={"generator": warmed_up_decay(average_decay)} if average_decay else {},
        views={"interpolations": interpolations},
    )
