"""The Wasserstein-1 distance through its dual, and two ways of keeping the critic 1-Lipschitz."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree, UInt32

from gen_jax.losses.reduce import sum_per_example


def wasserstein_critic(real: Float[Array, "batch"], fake: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """Minus the dual estimate of W1(p_data, p_model); the estimate holds for a 1-Lipschitz critic f.

        f(G(z)) - f(x)

    Arjovsky et al., Wasserstein GAN, arXiv 1701.07875, eq. 3.
    """
    return fake - real


def wasserstein_generator(fake: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """The part of W1 that the generator can change.

        -f(G(z))

    Arjovsky et al., Wasserstein GAN, arXiv 1701.07875, theorem 3.
    """
    return -fake


def gradient_penalty(
    critic: Callable[[jax.Array], jax.Array],
    real: Float[Array, "batch *shape"],
    fake: Float[Array, "batch *shape"],
    key: Key[Array, ""] | UInt32[Array, "2"],
    weight: float = 10.0,
    target: float = 1.0,
) -> Float[Array, "batch"]:
    """Penalty on the critic's slope between real and fake examples.

        weight (|grad f(y)| - target)^2,   y = e x + (1 - e) G(z),   e ~ U[0, 1], one for each example

    Gulrajani et al., Improved Training of Wasserstein GANs, arXiv 1704.00028, eq. 3.

    Args:
      critic: (batch, *shape) -> (batch,), with its parameters closed over. It must not mix examples (no batch norm):
        the slopes are taken as the gradient of the summed scores, and d(sum of f(y_i))/d(y_j) is the slope of example
        j alone only if no other example's score depends on y_j.
      real: examples of the data.
      fake: samples of the model; gradients reach the generator unless the caller stops them.
      key: one PRNG key.
      weight: lambda of the paper.
      target: the slope asked for.

    Returns:
      (batch,).
    """
    epsilon = jax.random.uniform(key, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
    between = epsilon * real + (1 - epsilon) * fake
    slopes = jax.grad(lambda y: jnp.sum(critic(y)))(between)
    return weight * (_norm_per_example(slopes) - target) ** 2


def clip_weights(params: PyTree[Float[Array, "..."]], limit: float) -> PyTree[Float[Array, "..."]]:
    """Each weight clipped to [-limit, limit], which keeps the critic K-Lipschitz for some K.

    Arjovsky et al., Wasserstein GAN, arXiv 1701.07875, algorithm 1 (limit 0.01 there).

    Raises:
      ValueError: limit is not positive.
    """
    if limit <= 0:
        raise ValueError(f"limit must be positive, got {limit}")
    return jax.tree.map(lambda weights: jnp.clip(weights, -limit, limit), params)


def _norm_per_example(values: Float[Array, "batch *shape"]) -> Float[Array, "batch"]:
    """Euclidean norm of each example, with gradient zero at zero."""
    squared = sum_per_example(values**2)
    is_zero = squared == 0
    # The derivative of sqrt is infinite at zero, and where() multiplies it by zero to NaN: so sqrt never sees the zero.
    return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, squared)))
