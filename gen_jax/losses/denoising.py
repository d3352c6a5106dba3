"""Gaussian diffusion: adding noise, its reversal given the clean example, and the loss of a noise predictor.

Ho et al., Denoising Diffusion Probabilistic Models, arXiv 2006.11239; equation numbers are theirs. Time t is an int
array of shape (batch,) with values 0 to T - 1, meaning the paper's 1 to T.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gen_jax.losses.noise_schedule import NoiseSchedule
from gen_jax.losses.reduce import mean_per_example


def q_sample(
    schedule: NoiseSchedule,
    x0: Float[Array, "batch *shape"],
    t: Int[Array, "batch"],
    noise: Float[Array, "batch *shape"],
) -> Float[Array, "batch *shape"]:
    """A sample of q(x_t | x_0) made from standard normal noise (eq. 4).

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise
    """
    return _at(schedule.sqrt_alphas_bar, t, x0) * x0 + _at(schedule.sqrt_one_minus_alphas_bar, t, x0) * noise


def predict_x0(
    schedule: NoiseSchedule,
    x_t: Float[Array, "batch *shape"],
    t: Int[Array, "batch"],
    noise: Float[Array, "batch *shape"],
) -> Float[Array, "batch *shape"]:
    """The x_0 that `q_sample` would have turned into x_t with this noise (eq. 4 solved for x_0).

    x_0 = (x_t - sqrt(1 - alpha_bar_t) noise) / sqrt(alpha_bar_t)
    """
    return (x_t - _at(schedule.sqrt_one_minus_alphas_bar, t, x_t) * noise) / _at(schedule.sqrt_alphas_bar, t, x_t)


def posterior(
    schedule: NoiseSchedule,
    x0: Float[Array, "batch *shape"],
    x_t: Float[Array, "batch *shape"],
    t: Int[Array, "batch"],
) -> tuple[Float[Array, "batch *shape"], Float[Array, "batch *shape"]]:
    """Mean and log-variance of q(x_{t-1} | x_t, x_0) (eq. 6 and 7).

    At t = 0 the true variance is 0: the mean is x_0, and the log-variance returned is that of t = 1, so that it stays
    finite. A sampler adds no noise in its last step, and a bound takes the decoder's likelihood there instead.

    Returns:
      (mean, log_variance), both of the shape of x_t; log_variance is the same number throughout one example.
    """
    mean = _at(schedule.posterior_mean_x0, t, x_t) * x0 + _at(schedule.posterior_mean_xt, t, x_t) * x_t
    return mean, jnp.broadcast_to(_at(schedule.posterior_log_variance, t, x_t), x_t.shape)


def noise_prediction_loss(
    predicted: Float[Array, "batch *shape"], noise: Float[Array, "batch *shape"]
) -> Float[Array, "batch"]:
    """Squared error of the predicted noise, the unweighted objective L_simple (eq. 14).

    |noise - predicted|^2 / D

    Divided by the number of dimensions D, as the paper's code does; 1 is what predicting zero costs.
    """
    return mean_per_example((noise - predicted) ** 2)


def _at(coefficients: Float[Array, "steps"], t: Int[Array, "batch"], like: Float[Array, "..."]) -> Float[Array, "..."]:
    """Each example's own coefficient, with the rank of `like` so that it broadcasts over the example."""
    return coefficients[t].reshape((-1,) + (1,) * (like.ndim - 1))
