"""`gen_jax.models.mlp_autoencoder` in PyTorch."""

import math

import torch
from torch import Tensor, nn


def mlp(inputs: int, features: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Hidden layers with ReLU, and a linear one."""
    layers: list[nn.Module] = []
    for width in features:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class MLPEncoder(nn.Module):
    """Images to the mean and log-variance of a diagonal Gaussian."""

    def __init__(self, shape: tuple[int, int, int], latent: int, features: tuple[int, ...]):
        super().__init__()
        self.mlp = mlp(math.prod(shape), features, 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (batch, channels, height, width) to (mean, log_var), each (batch, latent)."""
        mean, log_var = self.mlp(x.flatten(1)).chunk(2, dim=1)
        return mean.float(), log_var.float()


class MLPDecoder(nn.Module):
    """A latent vector to images."""

    def __init__(self, shape: tuple[int, int, int], latent: int, features: tuple[int, ...]):
        super().__init__()
        height, width, channels = shape
        self.shape = (channels, height, width)
        self.mlp = mlp(latent, features, math.prod(shape))

    def forward(self, z: Tensor) -> Tensor:
        """Map z (batch, latent) to logits (batch, channels, height, width)."""
        return torch.unflatten(self.mlp(z), 1, self.shape).float()
