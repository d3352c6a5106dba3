"""Sampling in fewer steps than a diffusion was trained with, by leaving out all but some that are evenly spaced.

Nichol & Dhariwal, Improved Denoising Diffusion Probabilistic Models, arXiv 2102.09672, section 4.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from gen_jax.losses import NoiseSchedule
from gen_jax.samplers.ancestral import PredictNoise


def evenly_spaced(steps: int, kept: int) -> Int[np.ndarray, "{kept}"]:
    """The times that are kept of 0 … steps-1, the first and the last among them.

    round(1 + i (T - 1) / (K - 1)) of the steps 1 … T, for i = 0 … K-1

    Raises:
      ValueError: fewer than 2, or more than there are.
    """
    if not 2 <= kept <= steps:
        raise ValueError(f"of {steps} steps 2 to {steps} can be kept, not {kept}")
    return np.round(np.linspace(1, steps, kept)).astype(np.int32) - np.int32(1)


def respace(schedule: NoiseSchedule, times: Int[np.ndarray, "kept"]) -> NoiseSchedule:
    """The diffusion that visits only these times of another, with as much noise at each of them.

    beta_i = 1 - alpha_bar(time i) / alpha_bar(time i-1)

    Args:
      schedule: of the long diffusion; its arrays must be known, not traced.
      times: increasing.
    """
    # From the betas, whose few digits are all of the small number; 1 - alphas_bar in float32 has lost some.
    alphas_bar = np.cumprod(1 - np.asarray(schedule.betas, np.float64))[times]
    return NoiseSchedule.from_betas(1 - alphas_bar / np.concatenate([[1.0], alphas_bar[:-1]]))


def respaced(sampler: Callable[..., Float[Array, "..."]], kept: int) -> Callable[..., Float[Array, "..."]]:
    """The same sampler in `kept` steps; in all of them it is the sampler as it was.

    Args:
      sampler: (predict_noise, schedule, x_T, key, **options) -> x_0, such as `ancestral`.
      kept: how many steps of the schedule it is to take. It raises ValueError for fewer than 2, or more than there are.

    Returns:
      What takes the schedule of the training; its steps, where they are options, count those that are kept.
    """

    @functools.wraps(sampler)
    def in_fewer_steps(
        predict_noise: PredictNoise,
        schedule: NoiseSchedule,
        x_T: Float[Array, "n *shape"],
        key: Key[Array, ""],
        **options: object,
    ) -> Float[Array, "n *shape"]:
        times = evenly_spaced(schedule.steps, kept)
        if kept == schedule.steps:
            return sampler(predict_noise, schedule, x_T, key, **options)

        def predict(x: Float[Array, "n *shape"], t: Int[Array, "n"]) -> Float[Array, "n *shape"]:
            # The network was trained on the times of the long diffusion.
            return predict_noise(x, jnp.asarray(times)[t])

        return sampler(predict, respace(schedule, times), x_T, key, **options)

    return in_fewer_steps
