"""Adversarial losses: what a discriminator minimises and what a generator minimises, as a pair.

A method takes an `AdversarialLoss` and calls its two halves; it never asks which pair it got.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from gen_jax.losses.wasserstein import wasserstein_critic, wasserstein_generator


class AdversarialLoss(NamedTuple):
    """Both sides of an adversarial game; each is minimised by its own player.

    Attributes:
      discriminator: (real_logits, fake_logits) -> (batch,); the two have the same number of examples.
      generator: (fake_logits) -> (batch,).
    """

    discriminator: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array], jax.Array]


def minimax_discriminator(
    real_logits: Float[Array, "batch"], fake_logits: Float[Array, "batch"]
) -> Float[Array, "batch"]:
    """Minus the value of the game, with D = sigmoid(logits).

        -V = -log D(x) - log(1 - D(G(z)))

    Goodfellow et al., Generative Adversarial Networks, arXiv 1406.2661, eq. 1. At the best discriminator V is
    2 JS(p_data, p_model) - 2 log 2 (their theorem 1).
    """
    return jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits)


def minimax_generator(fake_logits: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """The part of V that the generator can change; saturates where the discriminator is sure.

        log(1 - D(G(z)))

    Goodfellow et al., Generative Adversarial Networks, arXiv 1406.2661, eq. 1.
    """
    return -jax.nn.softplus(fake_logits)


def non_saturating_generator(fake_logits: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """The same fixed point with a strong gradient where the discriminator rejects the samples.

        -log D(G(z))

    Goodfellow et al., Generative Adversarial Networks, arXiv 1406.2661, section 3.
    """
    return jax.nn.softplus(-fake_logits)


minimax = AdversarialLoss(minimax_discriminator, minimax_generator)
non_saturating = AdversarialLoss(minimax_discriminator, non_saturating_generator)
wasserstein = AdversarialLoss(wasserstein_critic, wasserstein_generator)
