"""The product of a matrix and a kernel, with the kernel's gradient in the order of factors that is faster on a CPU.

XLA shares the product A^T B out among a CPU's cores by the columns of B. The gradient of a kernel, x^T g, has as many
of them as the kernel has outputs: where it has more inputs, g^T x is up to 1.7 times faster, and the kernel is small
enough to be transposed.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.kernels.bilinear import bilinear
from gen_jax.kernels.platform import per_platform


def product(x: Float[Array, "*batch in"], kernel: Float[Array, "in out"]) -> Float[Array, "*batch out"]:
    """x @ kernel. Differentiable in both modes, any number of times."""
    return _product(x, kernel) if kernel.shape[0] > kernel.shape[1] else x @ kernel


def _along_x(kernel: jax.Array, cotangent: jax.Array) -> jax.Array:
    return cotangent @ kernel.T


def _along_kernel(x: jax.Array, cotangent: jax.Array) -> jax.Array:
    rows, columns = x.reshape(-1, x.shape[-1]), cotangent.reshape(-1, cotangent.shape[-1])
    return per_platform(cpu=_transposed, default=_plain)(rows, columns)


_product = bilinear(jnp.matmul, _along_x, _along_kernel)


def _plain(x: jax.Array, cotangent: jax.Array) -> jax.Array:
    return x.T @ cotangent


def _transposed(x: jax.Array, cotangent: jax.Array) -> jax.Array:
    # Without the barrier XLA would exchange the factors again.
    return jax.lax.optimization_barrier(cotangent.T @ x).T
