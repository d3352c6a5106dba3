import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import NoiseSchedule, cosine_betas, linear_betas
from gen_jax.samplers import ancestral

KEY = jax.random.key(0)
MEAN, STD = 0.7, 0.4


def optimal_predictor(schedule, mean=MEAN, std=STD):
    """E[noise | x_t] where the data are N(mean, std^2), element by element."""

    def predict(x, t):
        signal, noise = schedule.sqrt_alphas_bar[t][:, None], schedule.sqrt_one_minus_alphas_bar[t][:, None]
        return noise * (x - signal * mean) / (signal**2 * std**2 + noise**2)

    return predict


def coefficients(betas, mean=MEAN, std=STD):
    """x_{t-1} = slope x_t + offset + deviation z, for t from T to 1, of the optimal predictor, in float64."""
    alphas_bar = np.cumprod(1 - betas)
    for t in reversed(range(len(betas))):
        before = alphas_bar[t - 1] if t else 1.0
        total = alphas_bar[t] * std**2 + 1 - alphas_bar[t]
        # E[x_0 | x_t] by the formula for jointly Gaussian variables, not by way of the noise.
        regression = np.sqrt(alphas_bar[t]) * std**2 / total
        intercept = mean - regression * np.sqrt(alphas_bar[t]) * mean
        weight_x0 = np.sqrt(before) * betas[t] / (1 - alphas_bar[t])
        weight_xt = np.sqrt(1 - betas[t]) * (1 - before) / (1 - alphas_bar[t])
        variance = betas[t] * (1 - before) / (1 - alphas_bar[t])
        yield t, weight_x0 * regression + weight_xt, weight_x0 * intercept, np.sqrt(variance)


@pytest.mark.parametrize("betas", [linear_betas(20, 0.01, 0.4), cosine_betas(20)], ids=["linear", "cosine"])
def test_every_sample_follows_the_linear_gaussian_recursion(betas):
    schedule = NoiseSchedule.from_betas(betas)
    x_T = jax.random.normal(jax.random.key(1), (6, 3))
    expected = np.asarray(x_T, np.float64)
    for t, slope, offset, deviation in coefficients(betas):
        expected = (
            slope * expected + offset + deviation * np.asarray(jax.random.normal(jax.random.fold_in(KEY, t), (6, 3)))
        )
    samples = ancestral(optimal_predictor(schedule), schedule, x_T, KEY, clip=None)
    np.testing.assert_allclose(samples, expected, rtol=2e-4, atol=2e-4)


def test_samples_of_a_gaussian_have_the_mean_and_variance_of_the_recursion():
    betas, n = cosine_betas(200), 40_000
    schedule = NoiseSchedule.from_betas(betas)
    x_T = jax.random.normal(jax.random.key(1), (n, 1))
    samples = np.asarray(ancestral(optimal_predictor(schedule), schedule, x_T, KEY, clip=None), np.float64)
    mean, variance = 0.0, 1.0
    for _, slope, offset, deviation in coefficients(betas):
        mean, variance = slope * mean + offset, slope**2 * variance + deviation**2
    assert abs(samples.mean() - mean) < 5 * np.sqrt(variance / n)
    assert abs(samples.var() - variance) < 5 * variance * np.sqrt(2 / n)
    # The posterior variance is the least a reverse step can have, so what is drawn is a little too narrow.
    np.testing.assert_allclose(mean, MEAN, rtol=0.01)
    np.testing.assert_allclose(variance, STD**2, rtol=0.05)
    assert variance < STD**2


def test_last_step_adds_no_noise():
    # Data that are one point: whatever noise came before, the last step returns the predicted x_0.
    schedule = NoiseSchedule.from_betas(linear_betas(5, 0.1, 0.5))
    samples = ancestral(optimal_predictor(schedule, std=0.0), schedule, jnp.ones((4, 2)), KEY, clip=None)
    np.testing.assert_allclose(samples, np.full((4, 2), MEAN), atol=1e-5)


@pytest.mark.parametrize("clip", [1.0, 0.25])
def test_predicted_data_are_kept_within_the_clip(clip):
    schedule = NoiseSchedule.from_betas(cosine_betas(10))
    x_T = jnp.zeros((2, 1))

    def far_off(x, t):
        return jnp.array([[-1e3], [1e3]])

    np.testing.assert_allclose(ancestral(far_off, schedule, x_T, KEY, clip=clip), [[clip], [-clip]], rtol=1e-6)
    assert np.abs(ancestral(far_off, schedule, x_T, KEY, clip=None)).min() > 3


def test_clips_to_the_range_of_images_unless_told():
    schedule = NoiseSchedule.from_betas(cosine_betas(10))
    samples = ancestral(lambda x, t: jnp.full_like(x, -1e3), schedule, jnp.zeros((1, 2, 2, 1)), KEY)
    np.testing.assert_allclose(samples, np.ones((1, 2, 2, 1)))


def test_same_key_gives_the_same_samples_and_another_key_others():
    schedule = NoiseSchedule.from_betas(cosine_betas(10))
    x_T = jax.random.normal(jax.random.key(1), (3, 2))
    draw = jax.jit(lambda key: ancestral(optimal_predictor(schedule), schedule, x_T, key))
    first, again, other = (np.asarray(draw(key)) for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_predictor_is_asked_once_a_step_with_one_time_an_example():
    schedule = NoiseSchedule.from_betas(cosine_betas(4))
    asked = []

    def predict(x, t):
        assert x.shape == (3, 2, 2, 1)
        assert t.shape == (3,)
        assert t.dtype == jnp.int32
        jax.debug.callback(lambda t: asked.append(t.tolist()), t, ordered=True)
        return x

    ancestral(predict, schedule, jnp.ones((3, 2, 2, 1)), KEY).block_until_ready()
    jax.effects_barrier()
    assert asked == [[t] * 3 for t in (3, 2, 1, 0)]
