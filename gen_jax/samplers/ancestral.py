"""Ancestral sampling of a Gaussian diffusion, the sampler of DDPM."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen_jax.losses import NoiseSchedule, posterior, predict_x0

PredictNoise = Callable[[Float[Array, "n *shape"], Int[Array, "n"]], Float[Array, "n *shape"]]
"""(x_t, t) -> the noise in x_t."""


def ancestral(
    predict_noise: PredictNoise,
    schedule: NoiseSchedule,
    x_T: Float[Array, "n *shape"],
    key: Key[Array, ""],
    clip: float | None = 1.0,
    start: int | Int[Array, ""] | None = None,
    stop: int | Int[Array, ""] = 0,
) -> Float[Array, "n *shape"]:
    """Draws x_{t-1} from q(x_{t-1} | x_t, x_0 as the network sees it), for t = T-1, ..., 0 or a part of these.

    Ho et al., Denoising Diffusion Probabilistic Models, arXiv 2006.11239, algorithm 2, with the posterior variance
    (beta tilde, section 3.2) and, as in the paper's code, the prediction of x_0 clipped to the range of the data.

    Args:
      predict_noise: the trained network.
      schedule: the diffusion of T steps that it was trained on.
      x_T: standard normal noise, where sampling begins.
      key: of the noise added on the way; each step's is a function of the key and t.
      clip: x_0 is kept in [-clip, clip]; None where the data have no bounds.
      start: steps of noise that are in `x_T`; None for all. From there t = start-1, ..., stop.
      stop: steps of noise to leave. A chain in parts, each going on from the last with the same key, is the whole one.

    Returns:
      Samples of the model where `stop` is 0; the last step adds no noise.
    """

    def step(i: Int[Array, ""], x: Float[Array, "n *shape"]) -> Float[Array, "n *shape"]:
        t = jnp.full(x.shape[0], schedule.steps - 1 - i, jnp.int32)
        x_0 = predict_x0(schedule, x, t, predict_noise(x, t))
        if clip is not None:
            x_0 = jnp.clip(x_0, -clip, clip)
        mean, log_variance = posterior(schedule, x_0, x, t)
        noise = jax.random.normal(jax.random.fold_in(key, t[0]), x.shape, x.dtype)
        return mean + jnp.where(t[0] == 0, 0.0, jnp.exp(0.5 * log_variance)) * noise

    first = 0 if start is None else schedule.steps - start
    return jax.lax.fori_loop(first, schedule.steps - stop, step, x_T)
