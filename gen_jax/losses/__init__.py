"""Losses: pure functions from arrays to one value per example. The caller takes the mean.

`elbo` and `wasserstein` here are the function and the pair of losses, not the files of the same names; those are
reached with `from gen_jax.losses.elbo import ...`.
"""

from gen_jax.losses.adversarial import (
    AdversarialLoss,
    minimax,
    minimax_discriminator,
    minimax_generator,
    non_saturating,
    non_saturating_generator,
    wasserstein,
)
from gen_jax.losses.denoising import noise_prediction_loss, posterior, predict_x0, q_sample
from gen_jax.losses.divergence import kl_diagonal_gaussians, kl_diagonal_gaussians_per_dim
from gen_jax.losses.elbo import beta_elbo, elbo, free_bits
from gen_jax.losses.importance import WeightSum, importance_bound
from gen_jax.losses.likelihood import bernoulli_log_prob, discretized_logistic_log_prob, gaussian_log_prob
from gen_jax.losses.noise_schedule import NoiseSchedule, cosine_betas, linear_betas
from gen_jax.losses.reduce import mean_per_example, sum_per_example
from gen_jax.losses.variational_bound import (
    diffusion_elbo,
    discretized_gaussian_log_prob,
    prior_divergence,
    spread_draws,
    step_shares,
    transition_cost,
)
from gen_jax.losses.wasserstein import clip_weights, gradient_penalty, wasserstein_critic, wasserstein_generator

__all__ = [
    "AdversarialLoss",
    "NoiseSchedule",
    "WeightSum",
    "bernoulli_log_prob",
    "beta_elbo",
    "clip_weights",
    "cosine_betas",
    "diffusion_elbo",
    "discretized_gaussian_log_prob",
    "discretized_logistic_log_prob",
    "elbo",
    "free_bits",
    "gaussian_log_prob",
    "gradient_penalty",
    "importance_bound",
    "kl_diagonal_gaussians",
    "kl_diagonal_gaussians_per_dim",
    "linear_betas",
    "mean_per_example",
    "minimax",
    "minimax_discriminator",
    "minimax_generator",
    "noise_prediction_loss",
    "non_saturating",
    "non_saturating_generator",
    "posterior",
    "predict_x0",
    "prior_divergence",
    "q_sample",
    "spread_draws",
    "step_shares",
    "sum_per_example",
    "transition_cost",
    "wasserstein",
    "wasserstein_critic",
    "wasserstein_generator",
]
