"""WGAN-GP's residual pair, for square images of a side of 4 to 7 times a power of two.

Gulrajani et al., Improved Training of Wasserstein GANs, arXiv 1704.00028, appendix (CIFAR-10 ResNet architecture), as
in the authors' code without the class labels: pre-activation blocks of two 3x3 convolutions, batch normalisation in the
generator only, so that the critic scores each example by itself as the gradient penalty requires. At 32x32x3 and width
128 the pair has 1,204,483 (128 latents) and 1,053,825 parameters.
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from gen_jax.models.image_size import check_doubled, doubled_side, nearest_doubled
from gen_jax.models.layers import Conv, mean_pool, upsample_nearest
from gen_jax.models.mixed_precision import Dense

# The convolutions of a block are followed by a ReLU and start larger by its gain; all other layers start linear.
block_init = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
linear_init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


def supports(size: int) -> bool:
    """Whether the pair can make images of size x size: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, …"""
    return doubled_side(size) is not None


def nearest_size(size: int) -> int:
    """The nearest size that the pair supports; the larger of two as near."""
    return nearest_doubled(size)


class ResNetGenerator(nn.Module):
    """Latents to images in [-1, 1]: 4x4 (to 7x7) doubled by one block each until the size is reached.

    Attributes:
      shape: (size, size, channels) of an image.
      width: channels of every block.
      dtype: dtype of the computation; parameters and output are float32.
    """

    shape: tuple[int, int, int]
    width: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "batch latent"], *, train: bool) -> Float[Array, "batch height width channels"]:
        """Map z (batch, latent) to images; with train the batch's own statistics are used and "batch_stats" moves.

        Raises:
          ValueError: an image size it cannot make.
        """
        side = check_doubled(self.shape)
        size, _, channels = self.shape
        x = Dense(side * side * self.width, kernel_init=linear_init, dtype=self.dtype)(z)
        x = x.reshape(-1, side, side, self.width)
        while x.shape[1] < size:
            x = UpBlock(self.width, self.dtype)(x, train=train)
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype)(x))
        x = Conv(channels, kernel_init=linear_init, dtype=self.dtype)(x)
        return nn.tanh(x.astype(jnp.float32))


class ResNetCritic(nn.Module):
    """Images to one score: two blocks that halve the size and two that keep it; a large one is halved to at most 8x8.

    Attributes:
      width: channels of every block.
      dtype: dtype of the computation; parameters and output are float32.
    """

    width: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch"]:
        """Map images to scores (batch,), each from its own image alone.

        Raises:
          ValueError: an image size it cannot take.
        """
        check_doubled(x.shape[1:])
        x = FirstDownBlock(self.width, self.dtype)(x)
        x = DownBlock(self.width, self.dtype)(x)
        while x.shape[1] > 8:
            x = DownBlock(self.width, self.dtype)(x)
        x = Block(self.width, self.dtype)(x)
        x = Block(self.width, self.dtype)(x)
        x = nn.relu(x).mean((1, 2))
        return Dense(1, kernel_init=linear_init, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)


class UpBlock(nn.Module):
    """Norm, ReLU, doubled, convolution, norm, ReLU, convolution; the shortcut doubled and convolved 1x1."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch 2*height 2*width {self.width}"]:
        """Map (batch, height, width, channels) to (batch, 2 height, 2 width, self.width)."""
        norm = functools.partial(nn.BatchNorm, not train, momentum=0.9, dtype=self.dtype)
        h = upsample_nearest(nn.relu(norm()(x)))
        h = _conv3x3(self.width, self.dtype)(h)
        h = _conv3x3(self.width, self.dtype)(nn.relu(norm()(h)))
        return checkpoint_name(h + _conv1x1(self.width, self.dtype)(upsample_nearest(x)), "block")


class FirstDownBlock(nn.Module):
    """Convolution, ReLU, convolution, halved; the shortcut halved and convolved 1x1. No ReLU acts on the pixels."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height//2 width//2 {self.width}"]:
        """Map (batch, height, width, channels) to (batch, height / 2, width / 2, self.width)."""
        h = _conv3x3(self.width, self.dtype)(x)
        h = _conv3x3(self.width, self.dtype)(nn.relu(h))
        return checkpoint_name(mean_pool(h) + _conv1x1(self.width, self.dtype)(mean_pool(x)), "block")


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, halved; the shortcut convolved 1x1 and halved."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height//2 width//2 {self.width}"]:
        """Map (batch, height, width, channels) to (batch, height / 2, width / 2, self.width)."""
        h = _conv3x3(self.width, self.dtype)(nn.relu(x))
        h = _conv3x3(self.width, self.dtype)(nn.relu(h))
        # Halving commutes with a 1x1 convolution: done first, it costs a quarter and gives the same.
        return checkpoint_name(mean_pool(h) + _conv1x1(self.width, self.dtype)(mean_pool(x)), "block")


class Block(nn.Module):
    """ReLU, convolution, ReLU, convolution; the shortcut as it is."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        """Keep the shape."""
        h = _conv3x3(self.width, self.dtype)(nn.relu(x))
        h = _conv3x3(self.width, self.dtype)(nn.relu(h))
        return checkpoint_name(h + x, "block")


def _conv3x3(width: int, dtype: Any) -> Conv:
    return Conv(width, kernel_init=block_init, dtype=dtype)


def _conv1x1(width: int, dtype: Any) -> Conv:
    return Conv(width, kernel_size=1, kernel_init=linear_init, dtype=dtype)
