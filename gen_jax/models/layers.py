"""Layers that Flax lacks or that are too slow there: resampling by two."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jaxtyping import Array, Float

STRIDE = 2


def mean_pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height//2 width//2 channels"]:
    """Mean over blocks of 2x2 pixels; height and width must be even."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def upsample_nearest(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch 2*height 2*width channels"]:
    """Each pixel repeated as a block of 2x2."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


class ConvTranspose(nn.Module):
    """Transposed convolution of stride 2 that doubles height and width; parameters as `flax.linen.ConvTranspose`.

    Attributes:
      features: channels of the output.
      kernel_size: height and width of the kernel, at least 2.
      use_bias: whether to add a bias.
      kernel_init: initializer of the (kernel_size, kernel_size, in, out) kernel.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: int = 4
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch 2*height 2*width {self.features}"]:
        """Upsample x (batch, height, width, channels) to (batch, 2 height, 2 width, features)."""
        kernel_shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, kernel_shape)
        y = conv_transpose(x.astype(self.dtype), kernel.astype(self.dtype))
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return y + bias.astype(self.dtype).reshape(1, 1, 1, -1)


@jax.custom_vjp
def conv_transpose(
    x: Float[Array, "batch height width in"], kernel: Float[Array, "size size in out"]
) -> Float[Array, "batch 2*height 2*width out"]:
    """`jax.lax.conv_transpose` of stride 2 and padding SAME, with a weight gradient that is fast on a CPU too.

    XLA's CPU backend has no quick kernel for the weight gradient of a transposed convolution (measured 1090 ms for
    64x16x16x128 to 64 channels, kernel 4). But it is the adjoint of a strided convolution S:

        <T(x, w), g> = <x, S(g, w')>,   w' = w with its two spatial axes reversed and its channels exchanged

    so the gradient with respect to w is that of S with input g and cotangent x, which is quick (33 ms). Elsewhere the
    operation's own gradient is taken. The choice falls when the program is lowered for a platform, not from the
    backend of the process, so that a program compiled here for another device gets that device's form.

    Differentiable in reverse mode any number of times; not in forward mode (`jax.jvp`), as any `jax.custom_vjp`.

    Raises:
      ValueError: a kernel smaller than the stride, which would leave pixels that nothing reaches.
    """
    if kernel.shape[0] < STRIDE:
        raise ValueError(f"needs a kernel of at least {STRIDE}x{STRIDE}, got {kernel.shape[:2]}")
    return _transposed(x, kernel)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return conv_transpose(x, kernel), (x, kernel)


def _backward(residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    kernel_gradient = jax.lax.platform_dependent(
        x, kernel, cotangent, cpu=_kernel_gradient_as_strided, default=_kernel_gradient_as_transposed
    )
    return _strided(cotangent, _adjoint(kernel)), kernel_gradient


conv_transpose.defvjp(_forward, _backward)


def _kernel_gradient_as_transposed(x: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> jax.Array:
    (gradient,) = jax.linear_transpose(lambda w: _transposed(x, w), kernel)(cotangent)
    return gradient


def _kernel_gradient_as_strided(x: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> jax.Array:
    (gradient,) = jax.linear_transpose(lambda w: _strided(cotangent, w), _adjoint(kernel))(x)
    return _adjoint(gradient)


def _transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_transpose(x, kernel, (STRIDE, STRIDE), "SAME")


def _strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The strided convolution whose adjoint is `_transposed`: padded so that every output pixel finds its input."""
    excess = kernel.shape[0] - STRIDE
    padding = (excess // 2, excess - excess // 2)
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (STRIDE, STRIDE), (padding, padding), dimension_numbers=layout)


def _adjoint(kernel: jax.Array) -> jax.Array:
    return kernel[::-1, ::-1].swapaxes(2, 3)
