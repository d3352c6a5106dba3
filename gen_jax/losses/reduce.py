"""Reductions over everything but the batch: each loss returns one value per example and the caller takes the mean."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def sum_per_example(values: Float[Array, "batch *shape"]) -> Float[Array, "batch"]:
    """Sum over all axes but the first; what a log-likelihood of independent dimensions needs."""
    return jnp.sum(values, axis=tuple(range(1, values.ndim)))


def mean_per_example(values: Float[Array, "batch *shape"]) -> Float[Array, "batch"]:
    """Mean over all axes but the first; keeps a loss's scale independent of the image size."""
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))
