import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import NoiseSchedule, cosine_betas, linear_betas
from gen_jax.samplers import ancestral, ddim, evenly_spaced, respaced

KEY = jax.random.key(0)
MEAN, STD = 0.7, 0.4
BETAS = {"linear": linear_betas(20, 0.01, 0.4), "cosine": cosine_betas(20)}
schedules = pytest.mark.parametrize("betas", BETAS.values(), ids=BETAS)


def optimal_predictor(schedule, mean=MEAN, std=STD):
    """E[noise | x_t] where the data are N(mean, std^2), element by element."""

    def predict(x, t):
        signal, noise = schedule.sqrt_alphas_bar[t][:, None], schedule.sqrt_one_minus_alphas_bar[t][:, None]
        return noise * (x - signal * mean) / (signal**2 * std**2 + noise**2)

    return predict


def coefficients(alphas_bar, eta, mean=MEAN, std=STD):
    """x_{t-1} = slope x_t + offset + deviation z, for t from T to 1, of the optimal predictor, in float64."""
    for t in reversed(range(len(alphas_bar))):
        now, before = alphas_bar[t], alphas_bar[t - 1] if t else 1.0
        # Eq. 16 as it is written, and E[x_0 | x_t] by the formula for jointly Gaussian variables.
        sigma = eta * np.sqrt((1 - before) / (1 - now)) * np.sqrt(1 - now / before)
        regression = np.sqrt(now) * std**2 / (now * std**2 + 1 - now)
        intercept = mean - regression * np.sqrt(now) * mean
        along = np.sqrt(1 - before - sigma**2) / np.sqrt(1 - now)
        slope = np.sqrt(before) * regression + along * (1 - np.sqrt(now) * regression)
        yield t, slope, (np.sqrt(before) - along * np.sqrt(now)) * intercept, sigma


@schedules
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_every_sample_follows_the_linear_gaussian_recursion(betas, eta):
    schedule = NoiseSchedule.from_betas(betas)
    x_T = jax.random.normal(jax.random.key(1), (6, 3))
    expected = np.asarray(x_T, np.float64)
    for t, slope, offset, deviation in coefficients(np.cumprod(1 - betas), eta):
        noise = np.asarray(jax.random.normal(jax.random.fold_in(KEY, t), (6, 3)))
        expected = slope * expected + offset + deviation * noise
    samples = ddim(optimal_predictor(schedule), schedule, x_T, KEY, clip=None, eta=eta)
    np.testing.assert_allclose(samples, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kept", [50, 500])
def test_samples_of_a_gaussian_have_the_mean_and_variance_of_the_recursion_over_the_kept_times(kept):
    betas, n = cosine_betas(500), 40_000
    schedule = NoiseSchedule.from_betas(betas)
    x_T = jax.random.normal(jax.random.key(1), (n, 1))
    samples = respaced(ddim, kept)(optimal_predictor(schedule), schedule, x_T, KEY, clip=None)
    samples = np.asarray(samples, np.float64)
    mean, variance = 0.0, 1.0
    for _, slope, offset, _ in coefficients(np.cumprod(1 - betas)[evenly_spaced(500, kept)], 0.0):
        mean, variance = slope * mean + offset, slope**2 * variance
    assert abs(samples.mean() - mean) < 5 * np.sqrt(variance / n)
    assert abs(samples.var() - variance) < 5 * variance * np.sqrt(2 / n)
    # In 50 steps nearly the data, where the ancestral sampler's 25 left no more than 3/4 of the deviation.
    np.testing.assert_allclose(mean, MEAN, rtol=0.01)
    np.testing.assert_allclose(variance, STD**2, rtol=0.1 if kept == 50 else 0.02)


def test_many_steps_approach_the_flow_that_carries_the_noise_to_the_data():
    # What a step does for small steps is a differential equation (section 4.3), which for Gaussian data keeps a point
    # as many deviations from the mean as it is.
    betas = linear_betas(1000)
    schedule = NoiseSchedule.from_betas(betas)
    x_T = jnp.linspace(-3.0, 3.0, 13)[:, None]
    last = np.cumprod(1 - betas)[-1]
    deviations = (np.asarray(x_T) - np.sqrt(last) * MEAN) / np.sqrt(last * STD**2 + 1 - last)
    samples = ddim(optimal_predictor(schedule), schedule, x_T, KEY, clip=None)
    np.testing.assert_allclose(samples, MEAN + STD * deviations, atol=0.02)


def predict(x, t):
    """Knows the time, and is no good."""
    return 0.3 * x + 0.01 * t[:, None].astype(jnp.float32)


@schedules
@pytest.mark.parametrize("clip", [None, 0.5], ids=["free", "clipped"])
def test_with_eta_1_it_is_the_ancestral_sampler(betas, clip):
    schedule = NoiseSchedule.from_betas(betas)
    x_T = jax.random.normal(jax.random.key(1), (6, 3))
    expected = ancestral(predict, schedule, x_T, KEY, clip=clip)
    np.testing.assert_allclose(
        ddim(predict, schedule, x_T, KEY, clip=clip, eta=1.0), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()
    )


def test_samples_are_a_function_of_the_first_noise_unless_eta_says_otherwise():
    schedule = NoiseSchedule.from_betas(BETAS["cosine"])
    x_T = jax.random.normal(jax.random.key(1), (3, 2))
    other = jax.random.key(5)
    np.testing.assert_array_equal(ddim(predict, schedule, x_T, KEY), ddim(predict, schedule, x_T, other))
    assert (ddim(predict, schedule, x_T, KEY, eta=0.5) != ddim(predict, schedule, x_T, other, eta=0.5)).all()
    assert (ddim(predict, schedule, x_T, KEY) != ddim(predict, schedule, -x_T, KEY)).all()


@pytest.mark.parametrize("clip", [1.0, 0.25])
def test_predicted_data_are_kept_within_the_clip(clip):
    schedule = NoiseSchedule.from_betas(cosine_betas(10))

    def far_off(x, t):
        return jnp.array([[-1e3], [1e3]])

    np.testing.assert_allclose(ddim(far_off, schedule, jnp.zeros((2, 1)), KEY, clip=clip), [[clip], [-clip]])
    assert np.abs(ddim(far_off, schedule, jnp.zeros((2, 1)), KEY, clip=None)).min() > 3


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("steps", [20, 6])
def test_a_chain_in_parts_is_the_whole_chain(steps, eta):
    schedule = NoiseSchedule.from_betas(BETAS["cosine"])
    x_T = jax.random.normal(jax.random.key(1), (3, 2))

    @jax.jit
    def part(x, start, stop):
        return respaced(ddim, steps)(predict, schedule, x, KEY, start=start, stop=stop, eta=eta)

    x = x_T
    for start, stop in ((steps, 4), (4, 3), (3, 0)):
        x = part(x, start, stop)
    np.testing.assert_allclose(x, respaced(ddim, steps)(predict, schedule, x_T, KEY, eta=eta), rtol=1e-5)
