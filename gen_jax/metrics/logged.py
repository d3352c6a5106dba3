"""What numbers that methods log mean: what they are called, their unit, and which direction is better."""

from typing import Literal

from gen_jax.training.retention import larger_is_better

NAMES = {"elbo": "ELBO", "kl": "KL term of the ELBO", "log_likelihood": "log p(x|z)"}
UNITS = {"elbo": "nats", "kl": "nats", "log_likelihood": "nats", "nll": "nats", "bits_per_dim": "bits"}
# How probable data are; what that means depends on how they are observed.
LIKELIHOODS: dict[str, Literal["larger", "smaller"]] = {"elbo": "larger", "nll": "smaller", "bits_per_dim": "smaller"}


def direction(name: str) -> Literal["larger", "smaller"] | None:
    """Which direction is better, where a name says it: a loss means another thing in each experiment."""
    if name in LIKELIHOODS:
        return LIKELIHOODS[name]
    # log p(x|z) is a part of the bound: more of it alone is not better.
    return "larger" if larger_is_better(name) and name != "log_likelihood" else None
