"""The losses of `gen_jax.losses` in PyTorch: networks, images and noise in, the mean over the batch out.

What is random is an argument, so that the same numbers can be given to both sides.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Slopes = Callable[[nn.Module, Tensor], Tensor]
"""(critic, images) -> the gradient of the sum of its scores in the images, itself differentiable."""


def vae(encoder: nn.Module, decoder: nn.Module, x: Tensor, noise: Tensor) -> Tensor:
    """Minus the evidence lower bound of binary pixels x, nats."""
    mean, log_var = encoder(x)
    z = mean + torch.exp(0.5 * log_var) * noise
    logits = decoder(z)
    log_likelihood = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    kl = 0.5 * (torch.expm1(log_var) - log_var + mean**2).sum(1)
    return (kl - log_likelihood).mean()


def discriminator(generator: nn.Module, discriminator: nn.Module, x: Tensor, z: Tensor) -> Tensor:
    """What the discriminator minimises."""
    with torch.no_grad():
        fake = generator(z)
    real_logits = discriminator(x)
    fake_logits = discriminator(fake)
    return (F.softplus(-real_logits) + F.softplus(fake_logits)).mean()


def generator(generator: nn.Module, discriminator: nn.Module, z: Tensor) -> Tensor:
    """What the generator minimises, in its non-saturating form."""
    return F.softplus(-discriminator(generator(z))).mean()


def critic(
    generator: nn.Module, critic: nn.Module, slopes: Slopes, x: Tensor, z: Tensor, epsilon: Tensor, weight: float
) -> Tensor:
    """What the critic minimises: minus the estimated distance, and the penalty on its slopes."""
    with torch.no_grad():
        fake = generator(z)
    real_scores = critic(x)
    fake_scores = critic(fake)
    between = epsilon * x + (1 - epsilon) * fake
    norms = slopes(critic, between).flatten(1).norm(dim=1)
    return (fake_scores - real_scores + weight * (norms - 1) ** 2).mean()


def critics_generator(generator: nn.Module, critic: nn.Module, z: Tensor) -> Tensor:
    """What the generator minimises against a critic."""
    return -critic(generator(z)).mean()


def slopes_by_autograd(critic: nn.Module, x: Tensor) -> Tensor:
    """Slopes as PyTorch users take them; `torch.compile` cannot differentiate them again."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradient


def slopes_by_functorch(critic: nn.Module, x: Tensor) -> Tensor:
    """The same slopes, in the form that `torch.compile` can differentiate again."""
    return torch.func.grad(lambda y: critic(y).sum())(x)


def noise_prediction(network: nn.Module, coefficients: Tensor, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Squared error of the predicted noise, a pixel.

    Args:
      network: (x_t, t) -> the noise in x_t.
      coefficients: (steps, 2), weights of x and of the noise in x_t.
      x: images in [-1, 1].
      t: (batch,) times.
      noise: of the shape of x.
    """
    signal, deviation = coefficients[t][:, :, None, None, None].unbind(1)
    return F.mse_loss(network(signal * x + deviation * noise, t), noise)


def betas(schedule: str, steps: int) -> np.ndarray:
    """Variances of the steps of a diffusion, linear or cosine."""
    if schedule == "linear":
        return np.linspace(1e-4, 0.02, steps)
    signal = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - signal[1:] / signal[:-1], 0.999)


def diffusion_coefficients(schedule: str, steps: int) -> Tensor:
    """(steps, 2): weights of the image and of the noise in a noisy image."""
    alphas_bar = np.cumprod(1 - betas(schedule, steps))
    return torch.tensor(np.stack([np.sqrt(alphas_bar), np.sqrt(1 - alphas_bar)], 1), dtype=torch.float32)
