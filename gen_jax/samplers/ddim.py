"""DDIM: the sampler of a Gaussian diffusion that need add no noise on the way."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen_jax.losses import NoiseSchedule, predict_x0
from gen_jax.samplers.ancestral import PredictNoise


def ddim(
    predict_noise: PredictNoise,
    schedule: NoiseSchedule,
    x_T: Float[Array, "n *shape"],
    key: Key[Array, ""],
    clip: float | None = 1.0,
    start: int | Int[Array, ""] | None = None,
    stop: int | Int[Array, ""] = 0,
    eta: float = 0.0,
) -> Float[Array, "n *shape"]:
    """Leads x_t to x_{t-1} along the noise that the network sees in it, for t = T-1, ..., 0 or a part of these.

        x_{t-1} = sqrt(alpha_bar_{t-1}) x_0 + sqrt(1 - alpha_bar_{t-1} - sigma_t^2) noise + sigma_t z,   z ~ N(0, I)
        sigma_t^2 = eta^2 (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) beta_t

    Song et al., Denoising Diffusion Implicit Models, arXiv 2010.02502, eq. 12 and 16. Where x_0 is clipped, the noise
    is that which leads from it to x_t, so that with eta = 1 this is the ancestral sampler, clipped or not.

    Args:
      predict_noise: the trained network.
      schedule: the diffusion of T steps that it was trained on; in fewer steps by `respaced`.
      x_T: standard normal noise, where sampling begins.
      key: of the noise added on the way, as in `ancestral`; without influence where eta is 0.
      clip: x_0 is kept in [-clip, clip]; None where the data have no bounds.
      start: steps of noise that are in `x_T`; None for all. From there t = start-1, ..., stop.
      stop: steps of noise to leave. A chain in parts, each going on from the last with the same key, is the whole one.
      eta: from 0, where samples are a function of x_T, to 1, where as much noise is added as by the ancestral sampler.

    Returns:
      Samples of the model where `stop` is 0; the last step adds no noise.
    """

    def step(i: Int[Array, ""], x: Float[Array, "n *shape"]) -> Float[Array, "n *shape"]:
        t = jnp.full(x.shape[0], schedule.steps - 1 - i, jnp.int32)
        x_0 = predict_x0(schedule, x, t, predict_noise(x, t))
        if clip is not None:
            x_0 = jnp.clip(x_0, -clip, clip)
        # What x_0 leaves of x_t, which is what the network sees unless x_0 was clipped.
        noise_in_x = (x - schedule.sqrt_alphas_bar[t[0]] * x_0) / schedule.sqrt_one_minus_alphas_bar[t[0]]
        signal = jnp.where(t[0] == 0, 1.0, schedule.sqrt_alphas_bar[t[0] - 1])
        deviation = jnp.where(t[0] == 0, 0.0, schedule.sqrt_one_minus_alphas_bar[t[0] - 1])
        variance = eta**2 * schedule.posterior_variance[t[0]]
        # The difference of two numbers that are nearly the same may be rounded to less than nothing.
        mean = signal * x_0 + jnp.sqrt(jnp.maximum(deviation**2 - variance, 0.0)) * noise_in_x
        if eta == 0:
            return mean
        noise = jax.random.normal(jax.random.fold_in(key, t[0]), x.shape, x.dtype)
        return mean + jnp.sqrt(variance) * noise

    first = 0 if start is None else schedule.steps - start
    return jax.lax.fori_loop(first, schedule.steps - stop, step, x_T)
