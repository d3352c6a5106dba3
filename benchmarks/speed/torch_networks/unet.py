"""`gen_jax.models.unet` in PyTorch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.speed.torch_networks.resnet_gan import conv3x3, upsample_nearest


class UNet(nn.Module):
    """An image and a time to an image of the same size."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        channels: int,
        multipliers: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        dropout: float,
    ):
        super().__init__()
        side, _, image_channels = shape
        embedding = 4 * channels
        self.time = TimeEmbedding(channels)
        self.conv_in = conv3x3(image_channels, channels)
        skips = [channels]
        width = channels
        self.down = nn.ModuleList()
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                self.down.append(Level(width, multiplier * channels, embedding, dropout, side in attention))
                width = multiplier * channels
                skips.append(width)
            if level < len(multipliers) - 1:
                self.down.append(Downsample(width))
                side //= 2
                skips.append(width)
        self.middle_0 = ResidualBlock(width, width, embedding, dropout)
        self.middle_attention = SelfAttention(width)
        self.middle_1 = ResidualBlock(width, width, embedding, dropout)
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(blocks + 1):
                inputs = width + skips.pop()
                self.up.append(Level(inputs, multiplier * channels, embedding, dropout, side in attention))
                width = multiplier * channels
            if level > 0:
                self.up.append(Upsample(width))
                side *= 2
        self.norm = group_norm(width)
        self.conv_out = conv3x3(width, image_channels)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Map x (batch, channels, height, width) at times t (batch,) to the same shape."""
        time = self.time(t)
        h = self.conv_in(x)
        skips = [h]
        for layer in self.down:
            h = layer(h, time)
            skips.append(h)
        h = self.middle_0(h, time)
        h = self.middle_attention(h)
        h = self.middle_1(h, time)
        for layer in self.up:
            if isinstance(layer, Level):
                h = torch.cat([h, skips.pop()], dim=1)
            h = layer(h, time)
        h = F.silu(self.norm(h))
        return self.conv_out(h).float()


class Level(nn.Module):
    """A residual block, and self-attention after it where the feature map is to have it."""

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float, attention: bool):
        super().__init__()
        self.block = ResidualBlock(inputs, outputs, embedding, dropout)
        self.attention = SelfAttention(outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height, width)."""
        return self.attention(self.block(x, time))


class Downsample(nn.Module):
    """A strided convolution, padded as Flax pads it: below and to the right."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map (batch, width, height, width) to half the height and width."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest neighbour and a convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = conv3x3(width, width)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map (batch, width, height, width) to twice the height and width."""
        return self.conv(upsample_nearest(x))


class ResidualBlock(nn.Module):
    """Norm, swish, convolution, the time added, norm, swish, dropout, a convolution."""

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float):
        super().__init__()
        self.norm_0 = group_norm(inputs)
        self.conv_0 = conv3x3(inputs, outputs)
        self.time = nn.Linear(embedding, outputs)
        self.norm_1 = group_norm(outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv_1 = conv3x3(outputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height, width)."""
        h = self.conv_0(F.silu(self.norm_0(x)))
        h = h + self.time(F.silu(time))[:, :, None, None]
        h = F.silu(self.norm_1(h))
        h = self.conv_1(self.dropout(h))
        return self.shortcut(x) + h


class SelfAttention(nn.Module):
    """Every pixel attends to all pixels, with one head."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = group_norm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        h = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = (layer(h)[:, None] for layer in (self.query, self.key, self.value))
        h = self.out(F.scaled_dot_product_attention(q, k, v)[:, 0])
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])


class TimeEmbedding(nn.Module):
    """Sinusoids, linear, swish, linear."""

    frequencies: Tensor

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        frequencies = torch.exp(torch.linspace(0.0, -math.log(10_000.0), half))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.dense_0 = nn.Linear(channels, 4 * channels)
        self.dense_1 = nn.Linear(4 * channels, 4 * channels)

    def forward(self, t: Tensor) -> Tensor:
        """Map t (batch,) to (batch, 4 channels)."""
        angles = t.float()[:, None] * self.frequencies[None, :]
        embedding = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
        return self.dense_1(F.silu(self.dense_0(embedding)))


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, or half as many until each has at least 4 channels."""
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if g == 1 or (channels % g == 0 and channels // g >= 4))
    return nn.GroupNorm(groups, channels, eps=1e-6)
