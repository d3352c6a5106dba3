"""Gaussian diffusion: one player owns the noise predictor, its weight average samples."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gen_jax.losses import NoiseSchedule, diffusion_elbo, noise_prediction_loss, q_sample
from gen_jax.methods import diffusion_views
from gen_jax.methods.averages import warmed_up_decay
from gen_jax.methods.nets import Nets, init
from gen_jax.methods.reported import ELBO, LOSS
from gen_jax.samplers import respaced
from gen_jax.training import keys
from gen_jax.training.game import (
    Array,
    Aux,
    Batch,
    Density,
    Game,
    Now,
    Params,
    Player,
    Sampling,
    Transform,
    Turn,
    Variables,
    View,
)


def diffusion(
    network: nn.Module,
    schedule: NoiseSchedule,
    sampler: Callable[..., Array],
    *,
    shape: tuple[int, ...],
    optimizer: optax.GradientTransformation,
    transform: Transform,
    average_decay: float = 0.9999,
    sampling: Sampling | None = None,
) -> Game:
    """DDPM with the unweighted noise-prediction loss. Ho et al., arXiv 2006.11239, algorithms 1 and 2.

    Args:
      network: (x_t, t) -> the noise in x_t.
      schedule: the forward process.
      sampler: (predict_noise, schedule, x_T, key) -> x_0; for the views of images also with `start` and `stop`, as
        `ancestral` has them.
      shape: of one example.
      optimizer: of the network.
      transform: from stored data to x in [-1, 1].
      average_decay: of the exponential average of the weights, which samples.
      sampling: what the sampler is called, and how many steps of the schedule it takes; None for "ancestral" in all.

    Returns:
      The game. Of images it also reports `elbo`, an estimate of the bound on the probability of their 256 levels by
      the chain of all steps, and has views: samples on their way from noise, and mixtures of held-out images.
    """
    sampling = sampling or Sampling("ancestral", schedule.steps)
    sampler = respaced(sampler, sampling.steps)
    is_image = len(shape) == 3

    nets = functools.partial(Nets, {"network": network})

    def predictor(params: Params, variables: Variables) -> Callable[[Array, Array], Array]:
        return functools.partial(nets(params, variables), "network")

    def noise_error(nets: Nets, x: Array, key: Array) -> Array:
        t = jax.random.randint(keys.derive(key, "time"), (len(x),), 0, schedule.steps)
        noise = jax.random.normal(keys.derive(key, "noise"), x.shape)
        x_t = q_sample(schedule, x, t, noise)
        return noise_prediction_loss(nets("network", x_t, t, key=keys.derive(key, "dropout")), noise)

    def loss(params: Params, variables: Variables, batch: Batch, key: Array, now: Now) -> tuple[Array, Aux]:
        using = nets(params, variables, train=True)
        return noise_error(using, batch["x"], key), using.aux()

    def evaluate(params: Params, variables: Variables, batch: Batch, key: Array) -> dict[str, Array]:
        metrics = {"loss": noise_error(nets(params, variables), batch["x"], key)}
        if is_image:
            bound_key = keys.derive(key, "elbo")
            metrics["elbo"] = diffusion_elbo(predictor(params, variables), schedule, batch["x"], bound_key)
        return metrics

    def sample(params: Params, variables: Variables, key: Array, n: int) -> Array:
        x_T = jax.random.normal(keys.derive(key, "x_T"), (n, *shape))
        return sampler(predictor(params, variables), schedule, x_T, keys.derive(key, "sampler"))

    views: dict[str, View] = {
        "denoising": diffusion_views.denoising(predictor, sampler, schedule, sampling.steps),
        "interpolations": diffusion_views.interpolations(predictor, sampler, schedule, sampling.steps),
    }
    return Game(
        init=lambda key, example: {
            "network": init(network, keys.derive(key, "network"), example["x"], jnp.zeros(1, jnp.int32))
        },
        players={"network": Player(("network",), loss, optimizer)},
        turns=(Turn(("network",)),),
        transforms={"x": transform},
        sample=sample,
        evaluate=evaluate,
        averages={"network": warmed_up_decay(average_decay)},
        density=Density("256 levels") if is_image else None,
        sampling=sampling,
        views=views if is_image else {},
        reports={"elbo": ELBO, "loss": LOSS},
    )
