"""Pictures of what a diffusion does to images: the chain that makes one, and two of them mixed under noise."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.losses import NoiseSchedule, q_sample
from gen_jax.methods.views import column_steps, rows_of, straight_path
from gen_jax.samplers import evenly_spaced
from gen_jax.training import keys
from gen_jax.training.game import Array, Batch, Params, Variables, View

Predictor = Callable[[Params, Variables], Callable[[Array, Array], Array]]
"""(params, variables) -> predict_noise."""

# alpha_bar at step 500 of 1000 of the linear schedule, where figure 8 of the paper mixes images.
MIXED_SIGNAL = 0.08


def denoising(predictor: Predictor, sampler: Callable[..., Array], schedule: NoiseSchedule, steps: int) -> View:
    """From noise on the left to a sample on the right: x_t at evenly spaced steps, clipped to [-1, 1].

    The last column is what the game's `sample` gives for the same key and as many samples as rows.

    Args:
      predictor: the network, with the parameters that it is given.
      sampler: takes `start` and `stop`.
      schedule: of the training.
      steps: how many the sampler takes.
    """

    def view(params: Params, variables: Variables, batch: Batch, key: Array) -> Array:
        x_T = jax.random.normal(keys.derive(key, "x_T"), rows_of(batch["x"]).shape)
        left = jnp.asarray(column_steps(steps))

        def next_column(x: Array, part: tuple[Array, Array]) -> tuple[Array, Array]:
            start, stop = part
            chain_key = keys.derive(key, "sampler")
            x = sampler(predictor(params, variables), schedule, x, chain_key, start=start, stop=stop)
            return x, x

        _, columns = jax.lax.scan(next_column, x_T, (left[:-1], left[1:]))
        return jnp.clip(jnp.concatenate([x_T[None], columns]), -1.0, 1.0).swapaxes(0, 1)

    return View(view, "Denoising", "Each row is one sample, from noise to what it becomes.", looks_at_data=False)


def interpolations(predictor: Predictor, sampler: Callable[..., Array], schedule: NoiseSchedule, steps: int) -> View:
    """From each held-out image to the next: both noised, mixed, and denoised again.

    Ho et al., arXiv 2006.11239, section 4.3 and figure 8. Here both are given the same noise, of which every mixture
    then has as much as the network expects, and all columns of a row go through the same noise on the way back.

    Args:
      predictor: the network, with the parameters that it is given.
      sampler: takes `start`.
      schedule: of the training.
      steps: how many the sampler takes.
    """
    times = evenly_spaced(schedule.steps, steps)
    start = max(1, int(np.sum(np.asarray(schedule.alphas_bar)[times] >= MIXED_SIGNAL)))

    def view(params: Params, variables: Variables, batch: Batch, key: Array) -> Array:
        x = rows_of(batch["x"])
        noise = jax.random.normal(keys.derive(key, "noise"), x.shape)

        def column(mixed: Array) -> Array:
            t = jnp.full(len(mixed), times[start - 1])
            x_t = q_sample(schedule, mixed, t, noise)
            return sampler(predictor(params, variables), schedule, x_t, keys.derive(key, "sampler"), start=start)

        return jax.vmap(column, in_axes=1, out_axes=1)(straight_path(x, jnp.roll(x, -1, axis=0)))

    caption = "Each row leads from one held-out image to the next, both under noise, and is denoised again."
    return View(view, "Interpolations", caption)
