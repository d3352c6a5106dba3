"""Schedules for averages of weights."""

import jax.numpy as jnp
import optax


def warmed_up_decay(decay: float) -> optax.Schedule:
    """Decay of an exponential average that forgets the first steps sooner: min(decay, (1 + step) / (10 + step)).

    Until step 9 / (1 - decay) the average reaches back over about a tenth of the steps so far; a constant decay would
    be dominated by the initial weights for 1 / (1 - decay) steps.
    """
    return lambda step: jnp.minimum(decay, (1 + step) / (10 + step))
