"""Gaussian diffusion: one player owns the noise predictor, its weight average samples."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gen_jax.losses import NoiseSchedule, noise_prediction_loss, q_sample
from gen_jax.methods.averages import warmed_up_decay
from gen_jax.methods.forward import forward, init
from gen_jax.training import keys
from gen_jax.training.game import Array, Aux, Batch, Game, Params, Player, Transform, Turn, Variables


def diffusion(
    network: nn.Module,
    schedule: NoiseSchedule,
    sampler: Callable[..., Array],
    *,
    shape: tuple[int, ...],
    optimizer: optax.GradientTransformation,
    transform: Transform,
    average_decay: float = 0.9999,
) -> Game:
    """DDPM with the unweighted noise-prediction loss. Ho et al., arXiv 2006.11239, algorithms 1 and 2.

    Args:
      network: (x_t, t) -> the noise in x_t.
      schedule: the forward process.
      sampler: (predict_noise, schedule, x_T, key) -> x_0.
      shape: of one example.
      optimizer: of the network.
      transform: from stored data to x in [-1, 1].
      average_decay: of the exponential average of the weights, which samples.
    """

    def noise_error(params: Params, variables: Variables, x: Array, key: Array, train: bool) -> tuple[Array, dict]:
        t = jax.random.randint(keys.derive(key, "time"), (len(x),), 0, schedule.steps)
        noise = jax.random.normal(keys.derive(key, "noise"), x.shape)
        x_t = q_sample(schedule, x, t, noise)
        predicted, updated = forward(
            "network", network, params, variables, x_t, t, train=train, key=keys.derive(key, "dropout")
        )
        return noise_prediction_loss(predicted, noise), {"network": updated}

    def loss(params: Params, variables: Variables, batch: Batch, key: Array, carry: None) -> tuple[Array, Aux]:
        per_example, variables = noise_error(params, variables, batch["x"], key, train=True)
        return per_example, Aux(variables=variables)

    def evaluate(params: Params, variables: Variables, batch: Batch, key: Array) -> dict[str, Array]:
        return {"loss": noise_error(params, variables, batch["x"], key, train=False)[0]}

    def sample(params: Params, variables: Variables, key: Array, n: int) -> Array:
        def predict_noise(x: Array, t: Array) -> Array:
            return forward("network", network, params, variables, x, t, train=False)[0]

        x_T = jax.random.normal(keys.derive(key, "x_T"), (n, *shape))
        return sampler(predict_noise, schedule, x_T, keys.derive(key, "sampler"))

    return Game(
        init=lambda key, example: {
            "network": init(network, keys.derive(key, "network"), example["x"], jnp.zeros(1, jnp.int32))
        },
        players={"network": Player(("network",), loss, optimizer)},
        turns=(Turn(("network",)),),
        transform=transform,
        sample=sample,
        evaluate=evaluate,
        averages={"network": warmed_up_decay(average_decay)},
    )
