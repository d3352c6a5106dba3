"""Adversarial games: a generator against a discriminator, or a critic."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gen_jax.data.field import Field
from gen_jax.losses import AdversarialLoss
from gen_jax.methods.averages import warmed_up_decay
from gen_jax.methods.nets import Nets, init
from gen_jax.methods.reported import LOSS
from gen_jax.methods.views import interpolations, spherical_path
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

    nets = functools.partial(Nets, {"generator": generator, "discriminator": discriminator})

    def generate(nets: Nets, n: int, key: Array) -> Array:
        return nets("generator", prior(keys.derive(key, "latent"), n, latent), key=keys.derive(key, "generator"))

    def discriminator_loss(
        params: Params, variables: Variables, batch: Batch, key: Array, now: Now
    ) -> tuple[Array, Aux]:
        using, real = nets(params, variables, train=True), batch["x"]
        fake = generate(using, len(real), key)
        real_logits = using("discriminator", real, key=keys.derive(key, "real"))
        fake_logits = using("discriminator", fake, key=keys.derive(key, "fake"))
        metrics = measure(real_logits, fake_logits)
        per_example = loss.discriminator(real_logits, fake_logits)
        if penalty is not None:
            again = nets(params, using.variables, train=True)
            slopes_of = functools.partial(again, "discriminator", key=keys.derive(key, "fake"))
            metrics["penalty"] = penalty(slopes_of, real, fake, keys.derive(key, "penalty"))
            per_example = per_example + metrics["penalty"]
        return per_example, using.aux(metrics)

    def generator_loss(params: Params, variables: Variables, batch: Batch, key: Array, now: Now) -> tuple[Array, Aux]:
        using = nets(params, variables, train=True)
        fake = generate(using, len(batch["x"]), key)
        return loss.generator(using("discriminator", fake, key=keys.derive(key, "fake"))), using.aux()

    def evaluate(params: Params, variables: Variables, batch: Batch, key: Array) -> dict[str, Array]:
        using, real = nets(params, variables), batch["x"]
        fake = generate(using, len(real), key)
        real_logits, fake_logits = using("discriminator", real), using("discriminator", fake)
        return {
            "discriminator_loss": loss.discriminator(real_logits, fake_logits),
            "generator_loss": loss.generator(fake_logits),
            **measure(real_logits, fake_logits),
        }

    def decode(params: Params, variables: Variables, z: Array, key: Array) -> Array:
        return nets(params, variables)("generator", z)

    def initialise(key: Array, example: Batch) -> dict[str, dict]:
        z = jnp.zeros((1, latent))
        return {
            "generator": init(generator, keys.derive(key, "generator"), z),
            "discriminator": init(discriminator, keys.derive(key, "discriminator"), example["x"]),
        }

    codec = Codec(Field("codes", (latent,)), decode, None, lambda key, n: prior(key, n, latent), spherical_path)
    return Game(
        init=initialise,
        players={
            "discriminator": Player(("discriminator",), discriminator_loss, discriminator_optimizer, project),
            "generator": Player(("generator",), generator_loss, generator_optimizer),
        },
        # The generator looks at no data, so it draws none.
        turns=(Turn(("discriminator",), repeat=discriminator_steps), Turn(("generator",), fresh=False)),
        transforms={"x": transform},
        sample=lambda params, variables, key, n: generate(nets(params, variables), n, key),
        evaluate=evaluate,
        averages={"generator": warmed_up_decay(average_decay)} if average_decay else {},
        views={"interpolations": interpolations(codec)},
        codec=codec,
        reports={
            "discriminator_loss": LOSS._replace(title="Discriminator loss"),
            "generator_loss": LOSS._replace(title="Generator loss"),
            "real_logits": Reported("Logits of real examples", depends_on="experiment"),
            "fake_logits": Reported("Logits of samples", depends_on="experiment"),
            "wasserstein": Reported("Wasserstein estimate of the critic", depends_on="experiment"),
            "penalty": LOSS._replace(title="Gradient penalty"),
        },
    )
