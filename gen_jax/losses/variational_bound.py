"""The variational bound of a Gaussian diffusion: what it says about log p(x_0), term by term.

    -log p(x_0) <= L_T + sum over t = 1 … T-1 of KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) + L_0

Ho et al., Denoising Diffusion Probabilistic Models, arXiv 2006.11239, eq. 5. Time t runs from 0 to T - 1 and means
the paper's t + 1. The model's reverse step has the mean of `posterior` with the predicted x_0 in the place of x_0, and
its variance (beta tilde, section 3.2), which is what ancestral sampling draws from. All terms are nats of one example.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen_jax.losses.denoising import posterior, predict_x0, q_sample
from gen_jax.losses.divergence import kl_diagonal_gaussians
from gen_jax.losses.noise_schedule import NoiseSchedule
from gen_jax.losses.reduce import sum_per_example

# So many standard deviations that nothing is left; infinity would make the logarithm NaN.
BEYOND = 1e9


def diffusion_elbo(
    predict_noise: Callable[[Float[Array, "n *shape"], Int[Array, "n"]], Float[Array, "n *shape"]],
    schedule: NoiseSchedule,
    x0: Float[Array, "batch *shape"],
    key: Key[Array, ""],
    clip: float = 1.0,
) -> Float[Array, "batch"]:
    """An unbiased estimate of the bound on log p(x_0) from two of the T terms that the network is in.

        ELBO = -(L_T + L_0 + KL_t / p_t),   t drawn from 1 … T-1 with the probabilities p of `step_shares`

    Each example is noised to its first step, whose term is large, and to one other; both in one call of the network.

    Args:
      predict_noise: (x_t, t) -> the noise in x_t.
      schedule: the forward process.
      x0: images on the 256 levels level / 127.5 - 1.
      key: of the times and of the noise.
      clip: the predicted x_0 is kept in [-clip, clip], as when sampling.

    Returns:
      (batch,) nats; larger is better.
    """
    time_key, noise_key = jax.random.split(key)
    shares = step_shares(schedule)
    other = 1 + spread_draws(time_key, len(x0), shares)
    t = jnp.stack([jnp.zeros_like(other), other], axis=1).reshape(-1)
    twice = jnp.repeat(x0, 2, axis=0)
    x_t = q_sample(schedule, twice, t, jax.random.normal(noise_key, twice.shape))
    predicted = jnp.clip(predict_x0(schedule, x_t, t, predict_noise(x_t, t)), -clip, clip)
    first_cost, other_cost = transition_cost(schedule, twice, x_t, t, predicted).reshape(-1, 2).T
    return -(prior_divergence(schedule, x0) + first_cost + other_cost / shares[other - 1])


def prior_divergence(schedule: NoiseSchedule, x0: Float[Array, "batch *shape"]) -> Float[Array, "batch"]:
    """L_T = KL(q(x_T | x_0) || N(0, I)): what is left of x_0 at the end of the diffusion; no network is in it."""
    mean = schedule.sqrt_alphas_bar[-1] * x0
    log_variance = 2 * jnp.log(schedule.sqrt_one_minus_alphas_bar[-1])
    return kl_diagonal_gaussians(mean, jnp.full_like(x0, log_variance))


def transition_cost(
    schedule: NoiseSchedule,
    x0: Float[Array, "batch *shape"],
    x_t: Float[Array, "batch *shape"],
    t: Int[Array, "batch"],
    predicted_x0: Float[Array, "batch *shape"],
) -> Float[Array, "batch"]:
    """The term of the bound that belongs to step t, for one draw of x_t from q(x_t | x_0).

    For t > 0 the divergence between the true and the modelled reverse step (eq. 8); for t = 0 the negative
    log-probability of the 256 levels (eq. 13). There beta tilde is 0, so the variance is that of t = 1, as in the code
    of the paper and of Nichol & Dhariwal (arXiv 2102.09672).

    Args:
      schedule: the forward process.
      x0: images on the 256 levels level / 127.5 - 1.
      x_t: what the network saw.
      t: the time of each.
      predicted_x0: what it made of it.
    """
    mean, log_variance = posterior(schedule, x0, x_t, t)
    predicted_mean, _ = posterior(schedule, predicted_x0, x_t, t)
    divergence = kl_diagonal_gaussians(mean, log_variance, predicted_mean, log_variance)
    decoded = discretized_gaussian_log_prob(predicted_mean, 0.5 * log_variance, x0)
    return jnp.where(t == 0, -decoded, divergence)


def step_shares(schedule: NoiseSchedule) -> Float[Array, "rest"]:
    """How the divergences of the steps t = 1 … T-1 share out among them, about; they sum to one.

        p_t ~ beta_t alpha_bar_{t-1} / (1 - alpha_bar_{t-1})

    Just so where pixels are independent and standard normal, and the network is the best for them; of images still well
    enough. With uniform times the first steps, which cost hundreds of times as much as the last, would be met too
    seldom for a bound to settle.
    """
    before, noise = schedule.alphas_bar[:-1], schedule.sqrt_one_minus_alphas_bar[:-1]
    cost = schedule.betas[1:] * before / noise**2
    return cost / jnp.sum(cost)


def spread_draws(key: Key[Array, ""], n: int, shares: Float[Array, "values"]) -> Int[Array, "{n}"]:
    """n numbers from 0 on, each drawn with the probabilities `shares`, and all together spread as evenly as these ask.

        draw i is where the sum of the shares passes (u + i / n) mod 1,   u ~ U[0, 1)

    The mean over a batch then varies much less than with independent draws. The low-discrepancy sampler of Kingma et
    al., Variational Diffusion Models, arXiv 2107.00630, appendix I.1.
    """
    position = (jax.random.uniform(key) + jnp.arange(n) / n) % 1.0
    # Rounded, the shares may sum to a little less than the last position.
    return jnp.minimum(jnp.searchsorted(jnp.cumsum(shares), position, side="right"), len(shares) - 1)


def discretized_gaussian_log_prob(
    mean: Float[Array, "batch *shape"], log_std: Float[Array, "batch *shape"], x: Float[Array, "batch *shape"]
) -> Float[Array, "batch"]:
    """Log-probability of 8-bit pixels: a Gaussian density integrated over each pixel's bin (eq. 13).

    The bins of the lowest and of the highest level reach to minus and plus infinity, so the 256 levels sum to one.

    Args:
      mean: centre of the Gaussian, on the scale of x.
      log_std: log of its standard deviation.
      x: data on the 256 levels level / 127.5 - 1, from -1 to 1.

    Returns:
      (batch,) nats, never positive.
    """
    half_bin = 1 / 255
    inverse_std = jnp.exp(-log_std)
    upper = jnp.where(x > 1 - half_bin, BEYOND, (x + half_bin - mean) * inverse_std)
    lower = jnp.where(x < -1 + half_bin, -BEYOND, (x - half_bin - mean) * inverse_std)
    # The bin mirrored to the left of the centre has the same probability, and there two values of the distribution
    # function that nearly agree are small numbers, not two that round to 1.
    is_right = lower + upper > 0
    log_far, log_near = jax.scipy.special.log_ndtr(
        jnp.stack([jnp.where(is_right, -upper, lower), jnp.where(is_right, -lower, upper)])
    )
    return sum_per_example(log_near + jnp.log(-jnp.expm1(log_far - log_near)))
