"""The U-Net of denoising diffusion.

Ho et al., Denoising Diffusion Probabilistic Models, arXiv 2006.11239, appendix B: residual blocks with group
normalisation and swish, each told the time; self-attention at the resolutions asked for and in the middle; strided
convolutions down, nearest neighbour and a convolution up. The configuration of CIFAR-10, `UNet(128)` on 32x32x3, has
35,746,307 parameters.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from gen_jax.models.dropout import Dropout
from gen_jax.models.group_norm import Activation, GroupNorm, identity
from gen_jax.models.image_size import nearest_multiple
from gen_jax.models.layers import Conv, upsample_nearest
from gen_jax.models.mixed_precision import Dense
from gen_jax.models.time_embedding import TimeEmbedding

kernel_init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


def supports(size: int, levels: int = 4) -> bool:
    """Whether a U-Net with this many multipliers can halve the size at each level but the last."""
    return size > 0 and size % 2 ** (levels - 1) == 0


def nearest_size(size: int, levels: int = 4) -> int:
    """The nearest size that a U-Net with this many multipliers supports; the larger of two as near."""
    return nearest_multiple(size, 2 ** (levels - 1))


class UNet(nn.Module):
    """An image and a time to an image of the same size; zero at initialization.

    Attributes:
      channels: channels at full resolution, before the multipliers.
      multipliers: channels of each level as a multiple of `channels`; the size is halved between levels.
      blocks: residual blocks of a level on the way down; one more on the way up.
      attention: heights of the feature maps after whose blocks self-attention follows.
      dropout: share of the activations dropped inside each residual block.
      out_channels: channels of the output; None for those of the input.
      dtype: dtype of the computation; parameters and output are float32.
    """

    channels: int
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    dropout: float = 0.1
    out_channels: int | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        t: Int[Array, "batch"] | Float[Array, "batch"],
        *,
        train: bool,
    ) -> Float[Array, "batch height width out"]:
        """Map x (batch, height, width, channels) at times t (batch,) to (batch, height, width, out_channels).

        With train it needs a "dropout" key.

        Raises:
          ValueError: a height or width that cannot be halved often enough.
        """
        levels = len(self.multipliers)
        if not (supports(x.shape[1], levels) and supports(x.shape[2], levels)):
            raise ValueError(f"needs height and width divisible by {2 ** (levels - 1)}, got {x.shape[1:3]}")
        out_channels = x.shape[-1] if self.out_channels is None else self.out_channels
        time = TimeEmbedding(self.channels, self.dtype)(t)

        h = _conv3x3(self.channels, self.dtype, name="in")(x)
        skips = [h]
        for level, multiplier in enumerate(self.multipliers):
            for block in range(self.blocks):
                h = self._block_and_attention(f"down_{level}_{block}", multiplier, h, time, train)
                skips.append(h)
            if level < levels - 1:
                h = Conv(h.shape[-1], stride=2, kernel_init=kernel_init, dtype=self.dtype)(h)
                skips.append(h)

        h = ResidualBlock(h.shape[-1], self.dropout, self.dtype, name="middle_0")(h, time, train=train)
        h = SelfAttention(self.dtype, name="middle_attention")(h)
        h = ResidualBlock(h.shape[-1], self.dropout, self.dtype, name="middle_1")(h, time, train=train)

        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for block in range(self.blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = self._block_and_attention(f"up_{level}_{block}", multiplier, h, time, train)
            if level > 0:
                h = _conv3x3(h.shape[-1], self.dtype)(upsample_nearest(h))

        h = _group_norm(h.shape[-1], self.dtype, nn.swish)(h)
        h = Conv(out_channels, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="out")(h)
        return h.astype(jnp.float32)

    def _block_and_attention(self, name: str, multiplier: int, h: jax.Array, time: jax.Array, train: bool) -> jax.Array:
        h = ResidualBlock(multiplier * self.channels, self.dropout, self.dtype, name=name)(h, time, train=train)
        return SelfAttention(self.dtype, name=f"{name}_attention")(h) if h.shape[1] in self.attention else h


class ResidualBlock(nn.Module):
    """Norm, swish, convolution, the time added, norm, swish, dropout, a convolution that starts at zero."""

    features: int
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], time: Float[Array, "batch embedding"], *, train: bool
    ) -> Float[Array, "batch height width {self.features}"]:
        """Map (batch, height, width, channels) to (batch, height, width, self.features)."""
        h = _conv3x3(self.features, self.dtype)(_group_norm(x.shape[-1], self.dtype, nn.swish)(x))
        h = h + Dense(self.features, kernel_init=kernel_init, dtype=self.dtype)(nn.swish(time))[:, None, None, :]
        h = _group_norm(self.features, self.dtype, nn.swish)(h)
        h = Dropout(self.dropout)(h, train=train)
        h = Conv(self.features, kernel_init=nn.initializers.zeros, dtype=self.dtype)(h)
        if x.shape[-1] != self.features:
            x = Dense(self.features, kernel_init=kernel_init, dtype=self.dtype, name="shortcut")(x)
        return checkpoint_name(x + h, "block")


class SelfAttention(nn.Module):
    """Every pixel attends to all pixels, with one head; starts as the identity.

    softmax(q k^T / sqrt(channels)) v, Vaswani et al., Attention Is All You Need, arXiv 1706.03762, eq. 1.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        """Keep the shape."""
        batch, height, width, channels = x.shape
        h = _group_norm(channels, self.dtype)(x).reshape(batch, height * width, channels)
        q = Dense(channels, kernel_init=kernel_init, dtype=self.dtype, name="query")(h)
        k = Dense(channels, kernel_init=kernel_init, dtype=self.dtype, name="key")(h)
        v = Dense(channels, kernel_init=kernel_init, dtype=self.dtype, name="value")(h)
        scores = jnp.einsum("bqc,bkc->bqk", q, k) / math.sqrt(channels)
        # bfloat16 keeps eight bits: not enough for a sum over all pixels.
        weights = nn.softmax(scores.astype(jnp.float32), axis=-1).astype(self.dtype)
        h = jnp.einsum("bqk,bkc->bqc", weights, v)
        h = Dense(channels, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="out")(h)
        return checkpoint_name(x + h.reshape(x.shape), "block")


def _conv3x3(features: int, dtype: Any, name: str | None = None) -> Conv:
    return Conv(features, kernel_init=kernel_init, dtype=dtype, name=name)


def _group_norm(channels: int, dtype: Any, activation: Activation = identity) -> GroupNorm:
    """32 groups, or half as many until each has at least 4 channels.

    With one channel to a group, the norm after the time is added would take out just that: a constant in each channel.
    """
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if g == 1 or (channels % g == 0 and channels // g >= 4))
    return GroupNorm(groups, activation, dtype)
