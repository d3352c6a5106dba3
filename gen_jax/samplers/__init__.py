"""From noise to data: how a trained diffusion is run backwards."""

from gen_jax.samplers.ancestral import ancestral

__all__ = ["ancestral"]
