"""Methods: models and losses put together into games."""

from gen_jax.methods.averages import warmed_up_decay
from gen_jax.methods.diffusion import diffusion
from gen_jax.methods.gan import gan, normal_prior, uniform_prior
from gen_jax.methods.vae import vae

__all__ = ["diffusion", "gan", "normal_prior", "uniform_prior", "vae", "warmed_up_decay"]
