"""The smallest experiment there is, for tests of all that surrounds a method: it learns the mean of the data.

Samples are that mean plus a little noise, for images and points alike. It is trained in a second.
"""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from gen_jax.config import AtSampling, Config, Count, Widths, Within
from gen_jax.data import Identity, Unit
from gen_jax.experiment import Experiment
from gen_jax.methods.checks import require_images
from gen_jax.training import Aux, Game, Player, Turn


@dataclass(frozen=True)
class ToyConfig(Config):
    """Options of the toy."""

    data: str = "ring8"
    steps: int = 4
    batch_size: int = 16
    learning_rate: float = 0.1
    log_every: int = 1
    eval_every: int = 0
    save_every: int = 2
    grid_samples: int = 4
    report: bool = False
    widths: Widths = (1, 2)
    """Stands for any option; changes nothing."""
    power: Count = 2
    """Exponent of the distance."""
    images_only: bool = False
    """Refuse points."""
    nan_at: Annotated[int, Within(0)] = 0
    """Step whose update makes the parameters NaN; 0: none."""
    nan_example: Annotated[int, Within(-1)] = -1
    """Training example whose loss is NaN; -1: none."""
    sampling_steps: Annotated[int, Within(1), AtSampling] = 10
    """The noise of a sample is one over that."""


def build(config, data):
    if config.images_only:
        require_images(data)

    def distance(params, batch):
        differences = jnp.abs(batch["x"] - params["mean"]["value"][None]) ** config.power
        return jnp.sum(differences, axis=tuple(range(1, differences.ndim)))

    def loss(params, variables, batch, key, now):
        spoilt = jnp.where(batch["index"] == config.nan_example, jnp.nan, 1.0)
        return distance(params, batch) * spoilt, Aux()

    def sample(params, variables, key, n):
        return params["mean"]["value"][None] + jax.random.normal(key, (n, *data.shape)) / config.sampling_steps

    def rate(count):
        return jnp.where(count + 1 == config.nan_at, jnp.nan, config.learning_rate)

    return Game(
        init=lambda key, example: {"mean": {"params": {"value": jax.random.normal(key, data.shape)}}},
        players={"mean": Player(("mean",), loss, optax.sgd(rate))},
        turns=(Turn(("mean",)),),
        transforms={"x": Unit() if data.is_image else Identity()},
        sample=sample,
        evaluate=lambda params, variables, batch, key: {"loss": distance(params, batch)},
    )


EXPERIMENT = Experiment(build, ToyConfig)
