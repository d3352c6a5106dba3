"""`gen_jax.models.conv_autoencoder` in PyTorch, for sides that are multiples of four."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvEncoder(nn.Module):
    """Images to the mean and log-variance of a diagonal Gaussian."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int):
        super().__init__()
        height, side, channels = shape
        flat = (height // 4) * (side // 4) * 2 * width
        self.conv_0 = nn.Conv2d(channels, width, 4, stride=2, padding=1)
        self.conv_1 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.mean = nn.Linear(flat, latent)
        self.log_var = nn.Linear(flat, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (batch, channels, height, width) to (mean, log_var), each (batch, latent)."""
        x = F.relu(self.conv_0(x))
        x = F.relu(self.conv_1(x))
        x = x.flatten(1)
        return self.mean(x).float(), self.log_var(x).float()


class ConvDecoder(nn.Module):
    """A latent vector to images."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int):
        super().__init__()
        height, side, channels = shape
        self.quarter = (2 * width, height // 4, side // 4)
        self.dense = nn.Linear(latent, (height // 4) * (side // 4) * 2 * width)
        self.conv_0 = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.conv_1 = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (batch, latent) to logits (batch, channels, height, width)."""
        x = F.relu(torch.unflatten(self.dense(z), 1, self.quarter))
        x = F.relu(self.conv_0(x))
        return self.conv_1(x).float()
