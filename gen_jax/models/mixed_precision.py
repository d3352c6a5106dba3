"""Parameters of float32 in a computation of fewer bits, whose gradients are added up in float32.

A kernel that is cast to bfloat16 has a gradient in bfloat16, and so has each device's part of it: the parts would be
added up with eight bits, and only their sum be float32. Matrix units add up in float32 anyway, so the gradient need
only be asked for as such.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jaxtyping import Array, Float

from gen_jax.kernels.bilinear import Operation, bilinear
from gen_jax.kernels.linear import linear


def apply_kernel(operation: Operation, x: jax.Array, kernel: Float[Array, "..."]) -> jax.Array:
    """`operation(x, kernel)` in the dtype of x; on TPUs the gradient of a float32 kernel is computed in float32.

    A TPU multiplies float32 in bfloat16, which what was bfloat16 before is anyway, and adds up in float32: so it takes
    no more time than the gradient in bfloat16. Other devices would, and do as `kernel.astype(x.dtype)` does.
    """
    if x.dtype == kernel.dtype:
        return operation(x, kernel)
    (x_shape, narrow), (kernel_shape, wide) = (x.shape, x.dtype), (kernel.shape, kernel.dtype)

    def cast(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return operation(x, kernel.astype(narrow))

    def along_x(kernel: jax.Array, cotangent: jax.Array) -> jax.Array:
        _, pull = jax.vjp(lambda x: cast(x, kernel), jnp.zeros(x_shape, narrow))
        return pull(cotangent)[0]

    def gradient(dtype: Any, x: jax.Array, cotangent: jax.Array) -> jax.Array:
        _, pull = jax.vjp(lambda w: operation(x.astype(dtype), w), jnp.zeros(kernel_shape, dtype))
        return pull(cotangent.astype(dtype))[0].astype(wide)

    def along_kernel(x: jax.Array, cotangent: jax.Array) -> jax.Array:
        as_parameter, as_computed = (functools.partial(gradient, dtype) for dtype in (wide, narrow))
        return jax.lax.platform_dependent(x, cotangent, tpu=as_parameter, default=as_computed)

    return bilinear(cast, along_x, along_kernel)(x, kernel)


def add_bias(y: Float[Array, "*batch features"], bias: Float[Array, " features"]) -> Float[Array, "*batch features"]:
    """y + bias in the dtype of y; the gradient of the bias is added up in that of the bias."""
    shape, narrow, wide = y.shape, y.dtype, bias.dtype
    if narrow == wide:
        return y + bias.reshape(*[1] * (y.ndim - 1), -1)

    def spread(_: jax.Array, bias: jax.Array) -> jax.Array:
        return jnp.broadcast_to(bias.astype(narrow), shape)

    def added_up(_: jax.Array, cotangent: jax.Array) -> jax.Array:
        return cotangent.astype(wide).sum(tuple(range(cotangent.ndim - 1)))

    # An empty part of y: where `jax.vmap` maps y, the bias is spread over all of it, and all is added up so.
    return y + linear(spread, added_up, jax.lax.stop_gradient(y[..., :0]), bias)


class Dense(nn.Module):
    """`flax.linen.Dense`, parameters included, whose gradients are added up in float32.

    Attributes:
      features: of the output.
      use_bias: whether there is one.
      kernel_init: initializer of the (in, features) kernel.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch in"]) -> Float[Array, "*batch {self.features}"]:
        """Map the last axis of x to `features`."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = apply_kernel(_product, x.astype(self.dtype), kernel)
        return add_bias(y, self.param("bias", nn.initializers.zeros, (self.features,))) if self.use_bias else y


def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
