"""How much noise a diffusion adds at each of its T steps, and all that follows from it.

Index t runs from 0 to T - 1 and means step t + 1 of the papers, so that a schedule is indexed by t directly.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64


def linear_betas(steps: int, start: float = 1e-4, end: float = 0.02) -> Float64[np.ndarray, "steps"]:
    """Variances growing linearly from `start` to `end`; the defaults are meant for steps = 1000.

    Ho et al., Denoising Diffusion Probabilistic Models, arXiv 2006.11239, section 4.
    """
    return np.linspace(start, end, steps, dtype=np.float64)


def cosine_betas(steps: int, offset: float = 0.008, max_beta: float = 0.999) -> Float64[np.ndarray, "steps"]:
    """Variances under which the share of signal left falls as a squared cosine.

        alpha_bar(t) = f(t) / f(0),   f(t) = cos^2((t / T + s) / (1 + s) pi / 2),   beta_t = 1 - f(t) / f(t - 1)

    Nichol & Dhariwal, Improved Denoising Diffusion Probabilistic Models, arXiv 2102.09672, eq. 17. Clipped at
    `max_beta`, because the last step would otherwise have beta = 1.
    """
    time = np.arange(steps + 1, dtype=np.float64) / steps
    signal = np.cos((time + offset) / (1 + offset) * np.pi / 2) ** 2
    return np.minimum(1 - signal[1:] / signal[:-1], max_beta)


class NoiseSchedule(NamedTuple):
    """The coefficients of a diffusion, each a float32 array of shape (T,). Build with `NoiseSchedule.from_betas`.

    Ho et al., Denoising Diffusion Probabilistic Models, arXiv 2006.11239; equation numbers below are theirs.

    Attributes:
      betas: variance added by a step (eq. 2).
      alphas: 1 - betas.
      alphas_bar: cumulative product of alphas (eq. 4).
      sqrt_alphas_bar: weight of x_0 in x_t (eq. 4).
      sqrt_one_minus_alphas_bar: weight of the noise in x_t (eq. 4).
      posterior_variance: variance of q(x_{t-1} | x_t, x_0) (eq. 7); 0 at t = 0.
      posterior_log_variance: its log, where t = 0 takes the value of t = 1 in place of minus infinity.
      posterior_mean_x0: weight of x_0 in the posterior mean (eq. 7).
      posterior_mean_xt: weight of x_t in the posterior mean (eq. 7).
    """

    betas: jax.Array
    alphas: jax.Array
    alphas_bar: jax.Array
    sqrt_alphas_bar: jax.Array
    sqrt_one_minus_alphas_bar: jax.Array
    posterior_variance: jax.Array
    posterior_log_variance: jax.Array
    posterior_mean_x0: jax.Array
    posterior_mean_xt: jax.Array

    @classmethod
    def from_betas(cls, betas: Float64[np.ndarray, "steps"]) -> "NoiseSchedule":
        """The schedule with these variances.

        Args:
          betas: at least 2 numbers strictly between 0 and 1.

        Raises:
          ValueError: fewer than 2 steps, or a variance outside (0, 1).
        """
        if betas.size < 2:
            raise ValueError(f"a noise schedule needs at least 2 steps, got {betas.size}")
        if not np.all((betas > 0) & (betas < 1)):
            raise ValueError(f"betas must lie strictly between 0 and 1, got {betas.min()} to {betas.max()}")
        # float64 until the end: 1 - alphas_bar of the first steps would keep only three digits in float32.
        alphas = 1 - betas
        alphas_bar = np.cumprod(alphas)
        alphas_bar_before = np.concatenate([[1.0], alphas_bar[:-1]])
        posterior_variance = betas * (1 - alphas_bar_before) / (1 - alphas_bar)
        return cls(
            betas=_float32(betas),
            alphas=_float32(alphas),
            alphas_bar=_float32(alphas_bar),
            sqrt_alphas_bar=_float32(np.sqrt(alphas_bar)),
            sqrt_one_minus_alphas_bar=_float32(np.sqrt(1 - alphas_bar)),
            posterior_variance=_float32(posterior_variance),
            posterior_log_variance=_float32(np.log(np.append(posterior_variance[1], posterior_variance[1:]))),
            posterior_mean_x0=_float32(betas * np.sqrt(alphas_bar_before) / (1 - alphas_bar)),
            posterior_mean_xt=_float32((1 - alphas_bar_before) * np.sqrt(alphas) / (1 - alphas_bar)),
        )

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return self.betas.shape[0]


def _float32(values: Float64[np.ndarray, "steps"]) -> jax.Array:
    return jnp.asarray(values, jnp.float32)
