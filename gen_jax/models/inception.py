"""Inception-v3 with the weights of 2015-12-05, the network in whose features FID, KID and Inception Score are computed.

Szegedy et al., Rethinking the Inception Architecture for Computer Vision, arXiv 1512.00567, as TensorFlow published it
on that date and as pytorch-fid (`fid_inception_v3`) and torch-fidelity have it. It differs from later versions, and so
do its features: average pools leave their padding out of the mean, the last block's pool takes the maximum, and there
are 1008 classes. Layers have the names of those weight files. It has 23,850,960 parameters and 34,432 statistics, and
is only applied, never trained.
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SIZE = 299
FEATURES = 2048
CLASSES = 1008

# On accelerators float32 would by default be rounded to TF32 or bfloat16, and the score would depend on the device.
PRECISION = jax.lax.Precision.HIGHEST


def average_pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
    """Mean over 3x3, at borders over the pixels that exist."""
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def max_pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
    """Maximum over 3x3."""
    return nn.max_pool(x, (3, 3), padding="SAME")


def halving_max_pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _h _w channels"]:
    """Maximum over 3x3 in strides of 2, without padding."""
    return nn.max_pool(x, (3, 3), (2, 2))


class InceptionV3(nn.Module):
    """Images to features and logits.

    Attributes:
      logit_bias: whether the logits have the last layer's bias. The authors' Inception Score (Salimans et al., arXiv
        1606.03498) leaves it out, and so does every score after theirs; the weight file has it.
    """

    logit_bias: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width 3"]
    ) -> tuple[Float[Array, "batch 2048"], Float[Array, "batch 1008"]]:
        """Map images in [-1, 1], of 299x299 and no smaller than 75x75, to the mean of the last block and 1008 logits.

        Sizes at 299x299 are given beside each group.
        """
        x = ConvBlock(32, (3, 3), 2, "VALID", name="Conv2d_1a_3x3")(x)  # 149x149
        x = ConvBlock(32, (3, 3), 1, "VALID", name="Conv2d_2a_3x3")(x)
        x = ConvBlock(64, (3, 3), name="Conv2d_2b_3x3")(x)
        x = halving_max_pool(x)  # 73x73
        x = ConvBlock(80, (1, 1), name="Conv2d_3b_1x1")(x)
        x = ConvBlock(192, (3, 3), 1, "VALID", name="Conv2d_4a_3x3")(x)
        x = halving_max_pool(x)  # 35x35x192

        x = InceptionA(32, name="Mixed_5b")(x)
        x = InceptionA(64, name="Mixed_5c")(x)
        x = InceptionA(64, name="Mixed_5d")(x)  # 35x35x288

        x = InceptionB(name="Mixed_6a")(x)
        x = InceptionC(128, name="Mixed_6b")(x)
        x = InceptionC(160, name="Mixed_6c")(x)
        x = InceptionC(160, name="Mixed_6d")(x)
        x = InceptionC(192, name="Mixed_6e")(x)  # 17x17x768

        x = InceptionD(name="Mixed_7a")(x)
        x = InceptionE(average_pool, name="Mixed_7b")(x)
        x = InceptionE(max_pool, name="Mixed_7c")(x)  # 8x8x2048

        features = x.mean((1, 2))
        logits = nn.Dense(CLASSES, use_bias=self.logit_bias, precision=PRECISION, name="fc")(features)
        return features, logits


class ConvBlock(nn.Module):
    """Convolution without bias, batch normalisation by stored statistics, ReLU.

    Attributes:
      features: channels of the output.
      kernel: height and width of the kernel.
      stride: in both directions.
      padding: "SAME" keeps the size at stride 1; "VALID" pads nothing.
    """

    features: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: Literal["SAME", "VALID"] = "SAME"

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _h _w {self.features}"]:
        """Map (batch, height, width, channels) to self.features channels."""
        strides = (self.stride, self.stride)
        x = nn.Conv(
            self.features, self.kernel, strides, self.padding, use_bias=False, precision=PRECISION, name="conv"
        )(x)
        x = nn.BatchNorm(use_running_average=True, epsilon=1e-3, name="bn")(x)
        return nn.relu(x)


class InceptionA(nn.Module):
    """Four branches: 1x1, 5x5, two 3x3, average pool. To 224 channels and those of the pool."""

    pool_features: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width 224+{self.pool_features}"]:
        """Keep height and width."""
        a = ConvBlock(64, (1, 1), name="branch1x1")(x)

        b = ConvBlock(48, (1, 1), name="branch5x5_1")(x)
        b = ConvBlock(64, (5, 5), name="branch5x5_2")(b)

        c = ConvBlock(64, (1, 1), name="branch3x3dbl_1")(x)
        c = ConvBlock(96, (3, 3), name="branch3x3dbl_2")(c)
        c = ConvBlock(96, (3, 3), name="branch3x3dbl_3")(c)

        d = ConvBlock(self.pool_features, (1, 1), name="branch_pool")(average_pool(x))
        return jnp.concatenate([a, b, c, d], axis=-1)


class InceptionB(nn.Module):
    """Three branches that halve the size: 3x3, two 3x3, maximum. Adds 480 channels."""

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _h _w channels+480"]:
        """Map height and width to (height - 1) // 2 and (width - 1) // 2."""
        a = ConvBlock(384, (3, 3), 2, "VALID", name="branch3x3")(x)

        b = ConvBlock(64, (1, 1), name="branch3x3dbl_1")(x)
        b = ConvBlock(96, (3, 3), name="branch3x3dbl_2")(b)
        b = ConvBlock(96, (3, 3), 2, "VALID", name="branch3x3dbl_3")(b)

        return jnp.concatenate([a, b, halving_max_pool(x)], axis=-1)


class InceptionC(nn.Module):
    """Four branches: 1x1, 7x7 in two steps, two 7x7 in four, average pool. To 768 channels by way of `width`."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width 768"]:
        """Keep height and width."""
        a = ConvBlock(192, (1, 1), name="branch1x1")(x)

        b = ConvBlock(self.width, (1, 1), name="branch7x7_1")(x)
        b = ConvBlock(self.width, (1, 7), name="branch7x7_2")(b)
        b = ConvBlock(192, (7, 1), name="branch7x7_3")(b)

        c = ConvBlock(self.width, (1, 1), name="branch7x7dbl_1")(x)
        c = ConvBlock(self.width, (7, 1), name="branch7x7dbl_2")(c)
        c = ConvBlock(self.width, (1, 7), name="branch7x7dbl_3")(c)
        c = ConvBlock(self.width, (7, 1), name="branch7x7dbl_4")(c)
        c = ConvBlock(192, (1, 7), name="branch7x7dbl_5")(c)

        d = ConvBlock(192, (1, 1), name="branch_pool")(average_pool(x))
        return jnp.concatenate([a, b, c, d], axis=-1)


class InceptionD(nn.Module):
    """Three branches that halve the size: 3x3, 7x7 and 3x3, maximum. Adds 512 channels."""

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _h _w channels+512"]:
        """Map height and width to (height - 1) // 2 and (width - 1) // 2."""
        a = ConvBlock(192, (1, 1), name="branch3x3_1")(x)
        a = ConvBlock(320, (3, 3), 2, "VALID", name="branch3x3_2")(a)

        b = ConvBlock(192, (1, 1), name="branch7x7x3_1")(x)
        b = ConvBlock(192, (1, 7), name="branch7x7x3_2")(b)
        b = ConvBlock(192, (7, 1), name="branch7x7x3_3")(b)
        b = ConvBlock(192, (3, 3), 2, "VALID", name="branch7x7x3_4")(b)

        return jnp.concatenate([a, b, halving_max_pool(x)], axis=-1)


class InceptionE(nn.Module):
    """Four branches: 1x1, 3x3 fanned out, two 3x3 of which the last is fanned out, `pool`. To 2048 channels."""

    pool: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width 2048"]:
        """Keep height and width. Fanned out: a row and a column of 3 side by side, where others have them in turn."""
        a = ConvBlock(320, (1, 1), name="branch1x1")(x)

        b = ConvBlock(384, (1, 1), name="branch3x3_1")(x)
        b_row = ConvBlock(384, (1, 3), name="branch3x3_2a")(b)
        b_column = ConvBlock(384, (3, 1), name="branch3x3_2b")(b)

        c = ConvBlock(448, (1, 1), name="branch3x3dbl_1")(x)
        c = ConvBlock(384, (3, 3), name="branch3x3dbl_2")(c)
        c_row = ConvBlock(384, (1, 3), name="branch3x3dbl_3a")(c)
        c_column = ConvBlock(384, (3, 1), name="branch3x3dbl_3b")(c)

        d = ConvBlock(192, (1, 1), name="branch_pool")(self.pool(x))
        return jnp.concatenate([a, b_row, b_column, c_row, c_column, d], axis=-1)
