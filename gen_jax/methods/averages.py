"""Averages of weights, which sample in place of the last ones."""

from dataclasses import dataclass

import jax.numpy as jnp
import optax

from gen_jax.config import Config, Decay


@dataclass(frozen=True)
class Average(Config):
    """Whether weights are averaged."""

    average_decay: Decay = 0.0
    """Decay of an exponential average of the weights, which samples and is evaluated; 0: none."""


def warmed_up_decay(decay: float) -> optax.Schedule:
    """Decay of an exponential average that forgets the first steps sooner: min(decay, (1 + step) / (10 + step)).

    Until step 9 / (1 - decay) the average reaches back over about a tenth of the steps so far; a constant decay would
    be dominated by the initial weights for 1 / (1 - decay) steps.
    """
    return lambda step: jnp.minimum(decay, (1 + step) / (10 + step))
