"""Convolutional encoder and decoder for images of any size from 4x4: two strided convolutions and their mirror."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from gen_jax.models.conditioned import beside
from gen_jax.models.layers import Conv, ConvTranspose
from gen_jax.models.mixed_precision import Dense

KERNEL = 4
STRIDE = 2
SMALLEST = 4


def supports(size: int) -> bool:
    """Whether the pair can make images of size x size: any size from 4."""
    return size >= SMALLEST


def nearest_size(size: int) -> int:
    """The nearest size that the pair supports."""
    return max(size, SMALLEST)


class ConvEncoder(nn.Module):
    """Images to the mean and log-variance of a diagonal Gaussian.

    Attributes:
      latent: dimensions of the latent space.
      width: channels of the first convolution; the second has twice as many.
      dtype: dtype of the computation; parameters and outputs are float32.
    """

    latent: int
    width: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], y: Float[Array, "batch conditions"] | None = None
    ) -> tuple[Float[Array, "batch {self.latent}"], Float[Array, "batch {self.latent}"]]:
        """Map images, and a condition, to (mean, log_var), each (batch, latent).

        Raises:
          ValueError: an image smaller than 4x4.
        """
        _check_size(x.shape[1:])
        x = checkpoint_name(nn.relu(Conv(self.width, KERNEL, STRIDE, dtype=self.dtype)(beside(x, y))), "block")
        x = checkpoint_name(nn.relu(Conv(2 * self.width, KERNEL, STRIDE, dtype=self.dtype)(x)), "block")
        x = x.reshape(x.shape[0], -1)
        mean = Dense(self.latent, dtype=self.dtype, name="mean")(x)
        log_var = Dense(self.latent, dtype=self.dtype, name="log_var")(x)
        return mean.astype(jnp.float32), log_var.astype(jnp.float32)


class ConvDecoder(nn.Module):
    """A latent vector to images.

    Attributes:
      shape: (height, width, channels) of an image.
      width: channels before the last layer; the layer before has twice as many.
      dtype: dtype of the computation; parameters and output are float32.
    """

    shape: tuple[int, int, int]
    width: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], y: Float[Array, "batch conditions"] | None = None
    ) -> Float[Array, "batch height width channels"]:
        """Map z (batch, latent), and a condition, to logits or means (batch, height, width, channels).

        Raises:
          ValueError: an image smaller than 4x4.
        """
        _check_size(self.shape)
        height, width, channels = self.shape
        # A quarter of the size, rounded up: doubled twice it covers the image, and what is too much is cut off.
        quarter_height, quarter_width = -(-height // 4), -(-width // 4)
        x = Dense(quarter_height * quarter_width * 2 * self.width, dtype=self.dtype)(beside(z, y))
        x = checkpoint_name(nn.relu(x.reshape(-1, quarter_height, quarter_width, 2 * self.width)), "block")
        x = checkpoint_name(nn.relu(ConvTranspose(self.width, dtype=self.dtype)(x)), "block")
        x = ConvTranspose(channels, dtype=self.dtype)(x)
        return x[:, :height, :width].astype(jnp.float32)


def _check_size(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or not supports(min(shape[:2])):
        raise ValueError(f"needs images (height, width, channels) of at least 4x4, got {shape}")
