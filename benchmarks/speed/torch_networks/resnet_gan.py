"""`gen_jax.models.resnet_gan` in PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.speed.torch_networks.dcgan import smallest_side


class ResNetGenerator(nn.Module):
    """Latents to images in [-1, 1]: 4x4 (to 7x7) doubled by one block each until the size is reached."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int):
        super().__init__()
        size, _, channels = shape
        side = smallest_side(size)
        self.first = (width, side, side)
        self.dense = nn.Linear(latent, side * side * width)
        self.blocks = nn.Sequential()
        while side < size:
            self.blocks.append(UpBlock(width))
            side *= 2
        self.norm = nn.BatchNorm2d(width)
        self.conv = conv3x3(width, channels)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (batch, latent) to images (batch, channels, height, width)."""
        x = torch.unflatten(self.dense(z), 1, self.first)
        x = self.blocks(x)
        x = F.relu(self.norm(x))
        return torch.tanh(self.conv(x).float())


class ResNetCritic(nn.Module):
    """Images to one score: blocks that halve the size, two or until it is at most 8x8, and two that keep it."""

    def __init__(self, shape: tuple[int, int, int], width: int):
        super().__init__()
        size, _, channels = shape
        self.blocks = nn.Sequential(FirstDownBlock(channels, width), DownBlock(width))
        side = size // 4
        while side > 8:
            self.blocks.append(DownBlock(width))
            side //= 2
        self.blocks.append(Block(width))
        self.blocks.append(Block(width))
        self.dense = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, channels, height, width) to scores (batch,)."""
        x = self.blocks(x)
        x = F.relu(x).mean((2, 3))
        return self.dense(x)[:, 0].float()


class UpBlock(nn.Module):
    """Norm, ReLU, doubled, convolution, norm, ReLU, convolution; the shortcut doubled and convolved 1x1."""

    def __init__(self, width: int):
        super().__init__()
        self.norm_0 = nn.BatchNorm2d(width)
        self.conv_0 = conv3x3(width, width)
        self.norm_1 = nn.BatchNorm2d(width)
        self.conv_1 = conv3x3(width, width)
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, width, height, width) to twice the height and width."""
        h = upsample_nearest(F.relu(self.norm_0(x)))
        h = self.conv_0(h)
        h = self.conv_1(F.relu(self.norm_1(h)))
        return h + self.shortcut(upsample_nearest(x))


class FirstDownBlock(nn.Module):
    """Convolution, ReLU, convolution, halved; the shortcut halved and convolved 1x1. No ReLU acts on the pixels."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv_0 = conv3x3(channels, width)
        self.conv_1 = conv3x3(width, width)
        self.shortcut = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to half the height and width."""
        h = self.conv_0(x)
        h = self.conv_1(F.relu(h))
        return mean_pool(h) + self.shortcut(mean_pool(x))


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, halved; the shortcut halved and convolved 1x1, which commute."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_0 = conv3x3(width, width)
        self.conv_1 = conv3x3(width, width)
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, width, height, width) to half the height and width."""
        h = self.conv_0(F.relu(x))
        h = self.conv_1(F.relu(h))
        return mean_pool(h) + self.shortcut(mean_pool(x))


class Block(nn.Module):
    """ReLU, convolution, ReLU, convolution; the shortcut as it is."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_0 = conv3x3(width, width)
        self.conv_1 = conv3x3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        h = self.conv_0(F.relu(x))
        h = self.conv_1(F.relu(h))
        return h + x


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def mean_pool(x: Tensor) -> Tensor:
    """Mean over blocks of 2x2 pixels."""
    return F.avg_pool2d(x, 2)


def upsample_nearest(x: Tensor) -> Tensor:
    """Each pixel repeated as a block of 2x2."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
