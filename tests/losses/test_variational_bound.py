import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.losses import (
    NoiseSchedule,
    cosine_betas,
    diffusion_elbo,
    discretized_gaussian_log_prob,
    linear_betas,
    prior_divergence,
    q_sample,
    spread_draws,
    step_shares,
    transition_cost,
)

KEY = jax.random.key(0)
BETAS = linear_betas(6, 0.02, 0.5)
SCHEDULE = NoiseSchedule.from_betas(BETAS)
ALPHAS_BAR = np.cumprod(1 - BETAS)
LEVELS = np.arange(256) / 127.5 - 1


def levels(x):
    """The nearest of the 256 levels."""
    return jnp.round((jnp.asarray(x) + 1) * 127.5) / 127.5 - 1


def zero_predictor(x_t, t):
    return jnp.zeros_like(x_t)


@pytest.mark.parametrize("std", [0.001, 0.05, 0.7])
@pytest.mark.parametrize("mean", [-1.2, -0.3, 0.9])
def test_decoder_gives_the_256_levels_a_total_probability_of_one(mean, std):
    x = jnp.asarray(LEVELS[:, None], jnp.float32)
    log_prob = jax.jit(discretized_gaussian_log_prob)(jnp.full_like(x, mean), jnp.full_like(x, np.log(std)), x)
    np.testing.assert_allclose(np.exp(np.asarray(log_prob, np.float64)).sum(), 1, rtol=1e-4)


def test_decoder_integrates_the_density_over_each_bin_out_to_the_tails():
    mean, std = 0.31, 0.02
    edges = np.concatenate([[-np.inf], LEVELS[:-1] + 1 / 255, [np.inf]])
    z = (edges - mean) / std
    # To the right of the mean by the survival function, whose small values float64 can subtract.
    left = stats.norm.logcdf(z)
    right = stats.norm.logsf(z)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = left[1:] + np.log1p(-np.exp(left[:-1] - left[1:]))
        above = right[:-1] + np.log1p(-np.exp(right[1:] - right[:-1]))
    expected = np.where(mean > LEVELS, below, above)
    assert expected.min() < -1000
    x = jnp.asarray(LEVELS[:, None], jnp.float32)
    found = jax.jit(discretized_gaussian_log_prob)(jnp.full_like(x, mean), jnp.full_like(x, np.log(std)), x)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    mirrored = jax.jit(discretized_gaussian_log_prob)(jnp.full_like(x, -mean), jnp.full_like(x, np.log(std)), -x)
    np.testing.assert_allclose(mirrored, found, rtol=1e-3)


def test_prior_divergence_is_that_of_the_last_noised_image_from_the_prior():
    x = np.array([[0.2, -0.9], [1.0, 0.4]])
    variance = 1 - ALPHAS_BAR[-1]
    expected = 0.5 * (variance - 1 - np.log(variance) + ALPHAS_BAR[-1] * x**2).sum(axis=1)
    np.testing.assert_allclose(prior_divergence(SCHEDULE, jnp.asarray(x, jnp.float32)), expected, rtol=1e-4)


def test_costs_are_the_divergence_of_the_reverse_steps_and_the_decoder_at_the_first():
    x0, x_t, predicted = (levels(a) for a in jax.random.uniform(KEY, (3, 6, 4), minval=-1.0))
    costs = jax.jit(transition_cost)(SCHEDULE, x0, x_t, jnp.arange(6), predicted)
    for t in range(1, 6):
        before = ALPHAS_BAR[t - 1]
        variance = BETAS[t] * (1 - before) / (1 - ALPHAS_BAR[t])
        # Both steps have the same variance, so all that counts is how far apart their means are.
        shift = np.sqrt(before) * BETAS[t] / (1 - ALPHAS_BAR[t]) * np.asarray(x0 - predicted)[t]
        np.testing.assert_allclose(costs[t], np.sum(shift**2) / (2 * variance), rtol=1e-3)
    deviation = np.sqrt(BETAS[1] * BETAS[0] / (1 - ALPHAS_BAR[1]))
    x, centre = np.asarray(x0, np.float64)[0], np.asarray(predicted, np.float64)[0]
    upper = np.where(x > 1 - 1 / 255, np.inf, x + 1 / 255)
    lower = np.where(x < -1 + 1 / 255, -np.inf, x - 1 / 255)
    near = stats.norm(centre, deviation)
    np.testing.assert_allclose(costs[0], -np.log(near.cdf(upper) - near.cdf(lower)).sum(), rtol=1e-3)


def test_bound_of_an_image_that_the_model_knows_is_nearly_all_of_its_probability():
    # The predictor knows that all data are this image, so that no step costs anything but the first, where it is right
    # but for the width of the decoder. What is missing is what the prior still knows of the image.
    schedule = NoiseSchedule.from_betas(cosine_betas(50))
    image = levels([[-1.0, 0.0, 1.0, 0.5]])

    def predict(x_t, t):
        signal, noise = schedule.sqrt_alphas_bar[t][:, None], schedule.sqrt_one_minus_alphas_bar[t][:, None]
        return (x_t - signal * image) / noise

    found = jax.jit(lambda key: diffusion_elbo(predict, schedule, jnp.repeat(image, 30, axis=0), key))(KEY)
    deviation = np.exp(0.5 * np.asarray(schedule.posterior_log_variance, np.float64)[0])
    inside = stats.norm.cdf(1 / 255 / deviation) - stats.norm.cdf(-1 / 255 / deviation)
    outermost = stats.norm.cdf(1 / 255 / deviation)
    expected = 2 * np.log(outermost) + 2 * np.log(inside)
    np.testing.assert_allclose(found, np.full(30, expected), rtol=1e-3)


def test_bound_is_below_the_log_probability_of_a_gaussian_model_and_close_to_it():
    # Data N(0, 0.25^2) and its best predictor: every reverse step is linear and Gaussian, so p(x_0) is known.
    spread, steps, n = 0.25, 100, 10_000
    betas = cosine_betas(steps)
    schedule, alphas_bar = NoiseSchedule.from_betas(betas), np.cumprod(1 - betas)
    variance, regressions = 1.0, np.sqrt(alphas_bar) * spread**2 / (alphas_bar * spread**2 + 1 - alphas_bar)
    for t in reversed(range(steps)):
        before, regression = alphas_bar[t - 1] if t else 1.0, regressions[t]
        slope = np.sqrt(before) * betas[t] / (1 - alphas_bar[t]) * regression
        slope += np.sqrt(1 - betas[t]) * (1 - before) / (1 - alphas_bar[t])
        added = betas[t] * (1 - before) / (1 - alphas_bar[t]) if t else np.exp(schedule.posterior_log_variance[0])
        variance = slope**2 * variance + added
    x = levels(jnp.clip(spread * jax.random.normal(jax.random.key(3), (n, 1)), -0.9, 0.9))
    pixel, deviation = np.asarray(x, np.float64)[:, 0], np.sqrt(variance)
    exact = np.log(stats.norm.cdf((pixel + 1 / 255) / deviation) - stats.norm.cdf((pixel - 1 / 255) / deviation))

    def cost(t):
        time = jnp.full(n, t)
        x_t = q_sample(schedule, x, time, jax.random.normal(jax.random.fold_in(KEY, t), x.shape))
        predicted = schedule.sqrt_alphas_bar[t] * spread**2 * x_t
        predicted /= schedule.alphas_bar[t] * spread**2 + schedule.sqrt_one_minus_alphas_bar[t] ** 2
        return transition_cost(schedule, x, x_t, time, predicted)

    costs = np.asarray(jax.jit(lambda: jax.lax.map(cost, jnp.arange(steps)))(), np.float64)
    for t in range(1, steps):
        # The mean over x_t of (x_0 - regression x_t)^2, in units of the variance of the step.
        left = (1 - regressions[t] * np.sqrt(alphas_bar[t])) ** 2 * pixel**2 + regressions[t] ** 2 * (1 - alphas_bar[t])
        weight = alphas_bar[t - 1] * betas[t] / (1 - alphas_bar[t]) / (1 - alphas_bar[t - 1])
        assert abs((costs[t] - weight * left / 2).mean()) < 5 * costs[t].std() / np.sqrt(n)
    gap = exact + costs.sum(axis=0) + np.asarray(prior_divergence(schedule, x))
    error = gap.std() / np.sqrt(n)
    assert 5 * error < 0.1
    assert 5 * error < gap.mean() < 1.0


@pytest.mark.parametrize("steps", [2, 6])
def test_estimate_is_unbiased_all_times_enumerated(steps):
    schedule = NoiseSchedule.from_betas(linear_betas(steps, 0.05, 0.5))
    n = 3_000
    x = jnp.broadcast_to(levels([[0.5, -0.3, 1.0]]), (n, 3))

    def cost(t):
        time = jnp.full(n, t)
        x_t = q_sample(schedule, x, time, jax.random.normal(jax.random.fold_in(KEY, t), x.shape))
        predicted = jnp.clip(x_t / schedule.sqrt_alphas_bar[t], -1.0, 1.0)
        return transition_cost(schedule, x, x_t, time, predicted)

    terms = np.asarray(jax.jit(lambda: jax.lax.map(cost, jnp.arange(steps)))(), np.float64)
    enumerated = -terms.mean(axis=1).sum() - float(prior_divergence(schedule, x)[0])
    found = np.asarray(jax.jit(lambda key: diffusion_elbo(zero_predictor, schedule, x, key))(KEY), np.float64)
    error = np.sqrt((found.var() + terms.var(axis=1).sum()) / n)
    assert error < 0.03 * abs(enumerated)
    assert abs(found.mean() - enumerated) < 5 * error


def test_prediction_is_clipped_to_the_range_of_images_unless_told():
    x = levels(jnp.full((4, 2), 0.9))
    plain, unless_told, wide = jax.jit(
        lambda: [
            diffusion_elbo(zero_predictor, SCHEDULE, x, KEY, **clip) for clip in ({"clip": 1.0}, {}, {"clip": 9.0})
        ]
    )()
    np.testing.assert_array_equal(plain, unless_told)
    assert (plain > wide).any()


@pytest.mark.parametrize("betas", [linear_betas(1000), cosine_betas(250), BETAS, linear_betas(2, 0.1, 0.2)])
def test_shares_are_those_of_standard_normal_pixels(betas):
    alphas_bar = np.cumprod(1 - betas)
    before, after = alphas_bar[:-1], alphas_bar[1:]
    variance = betas[1:] * (1 - before) / (1 - after)
    # The best prediction of x_0 leaves the variance 1 - alpha_bar_t, and the steps' means differ by so much of it.
    divergence = (np.sqrt(before) * betas[1:] / (1 - after)) ** 2 * (1 - after) / (2 * variance)
    shares = step_shares(NoiseSchedule.from_betas(betas))
    np.testing.assert_allclose(shares, divergence / divergence.sum(), rtol=1e-4)


@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("shares", [[1.0], [0.25, 0.15, 0.6], [0.001] * 1000], ids=len)
def test_spread_draws_have_the_shares_one_by_one_and_together_nearly_exactly(n, shares):
    keys = jax.random.split(KEY, 400)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: spread_draws(key, n, jnp.asarray(shares))))(keys))
    assert draws.min() >= 0
    assert draws.max() < len(shares)
    for value in np.unique(draws)[:20]:
        counts = (draws == value).sum(axis=1)
        assert (np.abs(counts - n * shares[value]) < 1 + 1e-4).all()
    for example in range(n):
        expected, spread = np.arange(len(shares)) @ shares, np.sqrt(np.arange(len(shares)) ** 2 @ shares)
        assert abs(draws[:, example].mean() - expected) <= 5 * spread / np.sqrt(400)


def test_every_step_costs_the_same_for_its_share_where_pixels_are_standard_normal():
    schedule = NoiseSchedule.from_betas(linear_betas(200, 1e-3, 0.1))
    x = jax.random.normal(jax.random.key(1), (2_000, 64))

    def cost(t):
        time = jnp.full(len(x), t)
        x_t = q_sample(schedule, x, time, jax.random.normal(jax.random.fold_in(KEY, t), x.shape))
        predicted = schedule.sqrt_alphas_bar[t] * x_t
        return jnp.mean(transition_cost(schedule, x, x_t, time, predicted))

    costs = jax.jit(lambda: jax.lax.map(cost, jnp.array([1, 5, 60, 199])))()
    shares = step_shares(schedule)[jnp.array([0, 4, 59, 198])]
    np.testing.assert_allclose(costs / shares, np.full(4, np.mean(costs / shares)), rtol=0.03)
