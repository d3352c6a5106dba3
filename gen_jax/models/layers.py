"""Layers that Flax lacks or that are too slow there: resampling by two."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Initializer
from jaxtyping import Array, Float

from gen_jax.kernels.convolution import convolution, transposed_convolution
from gen_jax.models.mixed_precision import add_bias, apply_kernel


def mean_pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height//2 width//2 channels"]:
    """Mean over blocks of 2x2 pixels; height and width must be even."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def upsample_nearest(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch 2*height 2*width channels"]:
    """Each pixel repeated as a block of 2x2."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


class Conv(nn.Module):
    """Convolution of padding SAME; parameters as `flax.linen.Conv`.

    Attributes:
      features: channels of the output.
      kernel_size: height and width of the kernel.
      stride: of the output in pixels of the input.
      use_bias: whether to add a bias.
      kernel_init: initializer of the (kernel_size, kernel_size, in, out) kernel.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns {self.features}"]:
        """Map x (batch, height, width, channels) to (batch, height / stride, width / stride, features), rounded up."""
        kernel_shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, kernel_shape)
        operation = functools.partial(convolution, stride=self.stride)
        y = apply_kernel(operation, x.astype(self.dtype), kernel)
        if not self.use_bias:
            return y
        return add_bias(y, self.param("bias", nn.initializers.zeros, (self.features,)))


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
        y = apply_kernel(transposed_convolution, x.astype(self.dtype), kernel)
        if not self.use_bias:
            return y
        return add_bias(y, self.param("bias", nn.initializers.zeros, (self.features,)))
