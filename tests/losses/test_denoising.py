import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from gen_jax.losses import NoiseSchedule, linear_betas, noise_prediction_loss, posterior, predict_x0, q_sample

BETAS = linear_betas(6, 0.05, 0.4)
SCHEDULE = NoiseSchedule.from_betas(BETAS)


def test_q_sample_has_the_moments_of_steps_taken_one_by_one():
    mean, covariance = np.ones(1), np.zeros((1, 1))
    for t, beta in enumerate(BETAS):
        step = np.sqrt(1 - beta) * np.eye(1)
        mean, covariance = step @ mean, step @ covariance @ step.T + beta * np.eye(1)
        time = jnp.array([t])
        without_noise = q_sample(SCHEDULE, jnp.ones((1, 1)), time, jnp.zeros((1, 1)))
        noise_alone = q_sample(SCHEDULE, jnp.zeros((1, 1)), time, jnp.ones((1, 1)))
        np.testing.assert_allclose(without_noise[0], mean, rtol=1e-5)
        np.testing.assert_allclose(noise_alone**2, covariance, rtol=1e-5)


def test_each_example_has_its_own_time():
    x0, noise = jax.random.normal(jax.random.key(0), (2, 3, 4, 4, 2))
    t = np.array([0, 5, 2])
    together = q_sample(SCHEDULE, x0, jnp.asarray(t), noise)
    for i, step in enumerate(t):
        signal = np.prod(1 - BETAS[: step + 1])
        expected = np.sqrt(signal) * np.asarray(x0[i]) + np.sqrt(1 - signal) * np.asarray(noise[i])
        np.testing.assert_allclose(together[i], expected, rtol=1e-4, atol=1e-6)


def test_predict_x0_undoes_q_sample():
    x0, noise = jax.random.normal(jax.random.key(1), (2, 6, 3))
    t = jnp.arange(6)
    x_t = q_sample(SCHEDULE, x0, t, noise)
    np.testing.assert_allclose(predict_x0(SCHEDULE, x_t, t, noise), x0, rtol=1e-4, atol=1e-5)


def test_posterior_agrees_with_bayes_rule_on_a_fine_grid():
    x0, x_t = 0.7, -0.4
    previous = np.linspace(-8, 8, 20001)
    for t in range(1, 6):
        signal = np.prod(1 - BETAS[:t])
        density = stats.norm.pdf(previous, np.sqrt(signal) * x0, np.sqrt(1 - signal)) * stats.norm.pdf(
            x_t, np.sqrt(1 - BETAS[t]) * previous, np.sqrt(BETAS[t])
        )
        density /= density.sum()
        grid_mean = (density * previous).sum()
        grid_variance = (density * (previous - grid_mean) ** 2).sum()
        mean, log_variance = posterior(SCHEDULE, jnp.full((1, 1), x0), jnp.full((1, 1), x_t), jnp.array([t]))
        np.testing.assert_allclose(mean, [[grid_mean]], rtol=1e-4)
        np.testing.assert_allclose(jnp.exp(log_variance), [[grid_variance]], rtol=1e-4)


def test_posterior_of_the_first_step_is_the_clean_example_with_a_finite_log_variance():
    x0, x_t = jax.random.normal(jax.random.key(2), (2, 2, 3))
    mean, log_variance = posterior(SCHEDULE, x0, x_t, jnp.zeros(2, jnp.int32))
    np.testing.assert_allclose(mean, x0, rtol=1e-6)
    assert log_variance.shape == x_t.shape
    assert jnp.isfinite(log_variance).all()


def test_noise_prediction_loss_is_a_mean_over_dimensions():
    predicted = jnp.stack([jnp.zeros((2, 2, 3)), jnp.full((2, 2, 3), 3.0)])
    np.testing.assert_allclose(noise_prediction_loss(predicted, jnp.ones((2, 2, 2, 3))), [1.0, 4.0])


def test_best_predictor_of_gaussian_data_reaches_the_posterior_variance_of_the_noise():
    # With x_0 ~ N(0, s^2), E[noise | x_t] is linear in x_t and leaves ab s^2 / (ab s^2 + 1 - ab) of the variance.
    std, t = 0.5, 3
    signal = np.prod(1 - BETAS[: t + 1])
    total = signal * std**2 + 1 - signal
    # A grid of equally likely quantiles for each of the two independent normals stands in for their expectation.
    normal = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    x0, noise = (jnp.asarray(grid.reshape(1, -1), jnp.float32) for grid in np.meshgrid(std * normal, normal))
    x_t = q_sample(SCHEDULE, x0, jnp.array([t]), noise)
    best = noise_prediction_loss(x_t * np.sqrt(1 - signal) / total, noise)
    np.testing.assert_allclose(best, [signal * std**2 / total], rtol=1e-2)
    for factor in (0.9, 1.1):
        assert noise_prediction_loss(factor * x_t * np.sqrt(1 - signal) / total, noise) > best
