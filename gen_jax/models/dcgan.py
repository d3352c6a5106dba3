"""DCGAN's convolutional pair, for square images of a side of 4 to 7 times a power of two.

Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks, arXiv
1511.06434: no pooling, batch normalisation in both networks except at the generator's output and the discriminator's
input, ReLU in the generator, LeakyReLU of slope 0.2 in the discriminator, all weights from N(0, 0.02^2). Kernels of 4
in place of the paper's 5: a kernel that the stride divides leaves no checkerboard, and is the common choice since.
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from gen_jax.models.image_size import check_doubled, doubled_side, nearest_doubled
from gen_jax.models.layers import Conv, ConvTranspose
from gen_jax.models.mixed_precision import Dense

kernel_init = nn.initializers.normal(0.02)


def supports(size: int) -> bool:
    """Whether the pair can make images of size x size: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, …"""
    return doubled_side(size) is not None


def nearest_size(size: int) -> int:
    """The nearest size that the pair supports; the larger of two as near."""
    return nearest_doubled(size)


class DCGANGenerator(nn.Module):
    """Latents to images in [-1, 1]: 4x4 (to 7x7) doubled until the size is reached, the channels halved each time.

    Attributes:
      shape: (size, size, channels) of an image.
      width: channels at half the image's size; they double as the size halves.
      dtype: dtype of the computation; parameters and output are float32.
    """

    shape: tuple[int, int, int]
    width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "batch latent"], *, train: bool) -> Float[Array, "batch height width channels"]:
        """Map z (batch, latent) to images; with train the batch's own statistics are used and "batch_stats" moves.

        Raises:
          ValueError: an image size it cannot make.
        """
        size, _, channels = self.shape
        side = check_doubled(self.shape)
        norm = functools.partial(nn.BatchNorm, not train, momentum=0.9, dtype=self.dtype)
        features = self.width * (size // side) // 2
        x = Dense(side * side * features, use_bias=False, kernel_init=kernel_init, dtype=self.dtype)(z)
        x = checkpoint_name(nn.relu(norm()(x.reshape(-1, side, side, features))), "block")
        while features > self.width:
            features //= 2
            x = ConvTranspose(features, use_bias=False, kernel_init=kernel_init, dtype=self.dtype)(x)
            x = checkpoint_name(nn.relu(norm()(x)), "block")
        x = ConvTranspose(channels, kernel_init=kernel_init, dtype=self.dtype)(x)
        return nn.tanh(x.astype(jnp.float32))


class DCGANDiscriminator(nn.Module):
    """Images to one logit: halved until 4x4 (to 7x7), the channels doubled each time.

    Attributes:
      width: channels at half the image's size.
      dtype: dtype of the computation; parameters and output are float32.
    """

    width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], *, train: bool) -> Float[Array, "batch"]:
        """Map images to logits (batch,); with train the batch's own statistics are used and "batch_stats" moves.

        Raises:
          ValueError: an image size it cannot take.
        """
        check_doubled(x.shape[1:])
        norm = functools.partial(nn.BatchNorm, not train, momentum=0.9, dtype=self.dtype)
        conv = functools.partial(Conv, kernel_size=4, stride=2, kernel_init=kernel_init, dtype=self.dtype)
        features = self.width
        x = checkpoint_name(nn.leaky_relu(conv(features)(x), 0.2), "block")
        while x.shape[1] > 7:
            features *= 2
            x = checkpoint_name(nn.leaky_relu(norm()(conv(features, use_bias=False)(x)), 0.2), "block")
        x = x.reshape(x.shape[0], -1)
        return Dense(1, kernel_init=kernel_init, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)
