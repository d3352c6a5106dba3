"""`gen_jax.models.dcgan` in PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def smallest_side(size: int) -> int:
    """The side from 4 to 7 that becomes `size` by doubling."""
    while size > 7:
        size //= 2
    return size


class DCGANGenerator(nn.Module):
    """Latents to images in [-1, 1]: 4x4 (to 7x7) doubled until the size is reached, the channels halved each time."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int):
        super().__init__()
        size, _, channels = shape
        side = smallest_side(size)
        features = width * (size // side) // 2
        self.first = (features, side, side)
        self.dense = nn.Linear(latent, side * side * features, bias=False)
        self.norm = nn.BatchNorm2d(features)
        blocks: list[nn.Module] = []
        while features > width:
            features //= 2
            blocks.append(nn.ConvTranspose2d(2 * features, features, 4, stride=2, padding=1, bias=False))
            blocks.append(nn.BatchNorm2d(features))
            blocks.append(nn.ReLU())
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.ConvTranspose2d(features, channels, 4, stride=2, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (batch, latent) to images (batch, channels, height, width)."""
        x = torch.unflatten(self.dense(z), 1, self.first)
        x = F.relu(self.norm(x))
        x = self.blocks(x)
        return torch.tanh(self.out(x).float())


class DCGANDiscriminator(nn.Module):
    """Images to one logit: halved until 4x4 (to 7x7), the channels doubled each time."""

    def __init__(self, shape: tuple[int, int, int], width: int):
        super().__init__()
        size, _, channels = shape
        features, side = width, size // 2
        self.conv = nn.Conv2d(channels, features, 4, stride=2, padding=1)
        blocks: list[nn.Module] = []
        while side > 7:
            features, side = 2 * features, side // 2
            blocks.append(nn.Conv2d(features // 2, features, 4, stride=2, padding=1, bias=False))
            blocks.append(nn.BatchNorm2d(features))
            blocks.append(nn.LeakyReLU(0.2))
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(side * side * features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, channels, height, width) to logits (batch,)."""
        x = F.leaky_relu(self.conv(x), 0.2)
        x = self.blocks(x)
        return self.dense(x.flatten(1))[:, 0].float()
