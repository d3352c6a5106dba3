"""Methods: models and losses put together into games."""

from gen_jax.methods.autoencoder import autoencoder
from gen_jax.methods.averages import Average, warmed_up_decay
from gen_jax.methods.classifier import classifier
from gen_jax.methods.denoiser import Denoiser
from gen_jax.methods.diffusion import diffusion
from gen_jax.methods.flip import Flip
from gen_jax.methods.gan import gan, normal_prior, uniform_prior
from gen_jax.methods.optimizer import Optimizer
from gen_jax.methods.vae import vae

__all__ = [
    "Average",
    "Denoiser",
    "Flip",
    "Optimizer",
    "autoencoder",
    "classifier",
    "diffusion",
    "gan",
    "normal_prior",
    "uniform_prior",
    "vae",
    "warmed_up_decay",
]
