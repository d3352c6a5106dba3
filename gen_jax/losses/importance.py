"""log p(x) by importance sampling, for any number of draws in bounded memory.

Burda et al., Importance Weighted Autoencoders, arXiv 1509.00519; equation numbers are theirs. The weight of a draw
z ~ q(z|x) is w = p(x, z) / q(z|x), whose mean is p(x). All that is known of it here is its logarithm.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


def importance_bound(log_weights: Float[Array, "k batch"]) -> Float[Array, "batch"]:
    """The logarithm of the mean of k weights (eq. 8), in nats.

        L_k(x) = log (1/k) sum_i w_i,   E[L_1] = ELBO <= E[L_k] <= E[L_k+1] <= log p(x)

    Args:
      log_weights: log p(x, z_i) - log q(z_i|x), of k independent draws z_i from q.

    Returns:
      (batch,) nats, in expectation never above log p(x).
    """
    none = WeightSum.empty(log_weights.shape[1])
    return none.add(log_weights).log_mean(log_weights.shape[0])


class WeightSum(NamedTuple):
    """A sum of weights of each example, to which more are added as they are drawn.

    Kept as peak and ratio, so that it neither overflows nor loses digits: the logarithm of a weight may be -10,000,
    and a running logarithm of the sum would be rounded at that size each time something is added to it.

    Attributes:
      log_peak: the logarithm of the largest weight so far; minus infinity before the first.
      ratio: the sum in units of the largest.
    """

    log_peak: Float[Array, "batch"]
    ratio: Float[Array, "batch"]

    @classmethod
    def empty(cls, batch: int) -> "WeightSum":
        """The sum of nothing, for each of so many examples."""
        return cls(jnp.full(batch, -jnp.inf), jnp.zeros(batch))

    def add(self, log_weights: Float[Array, "k batch"]) -> "WeightSum":
        """The sum with k more weights in it; one of minus infinity adds nothing."""
        log_peak = jnp.maximum(self.log_peak, jnp.max(log_weights, axis=0))
        # As long as all weights are zero there is no peak to divide by, and inf - inf would be NaN.
        unit = jnp.where(jnp.isfinite(log_peak), log_peak, 0.0)
        new = jnp.sum(jnp.exp(log_weights - unit[None]), axis=0)
        return WeightSum(log_peak, self.ratio * jnp.exp(self.log_peak - unit) + new)

    def log_mean(self, k: int) -> Float[Array, "batch"]:
        """The logarithm of the mean, where k weights have been added; minus infinity where all were zero."""
        unit = jnp.where(jnp.isfinite(self.log_peak), self.log_peak, 0.0)
        return unit + jnp.log(self.ratio) - jnp.log(k)
