"""From noise to data: how a trained diffusion is run backwards."""

from gen_jax.samplers.ancestral import ancestral
from gen_jax.samplers.ddim import ddim
from gen_jax.samplers.respaced import evenly_spaced, respaced

__all__ = ["ancestral", "ddim", "evenly_spaced", "respaced"]
