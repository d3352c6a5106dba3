import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import NoiseSchedule, cosine_betas, linear_betas


def test_linear_betas_are_those_of_the_paper():
    betas = linear_betas(1000)
    np.testing.assert_allclose([betas[0], betas[-1], betas[1] - betas[0]], [1e-4, 0.02, 0.0199 / 999])


def test_cosine_alphas_bar_are_the_squared_cosine_until_the_clip():
    betas = cosine_betas(50)
    signal = [np.cos((t / 50 + 0.008) / 1.008 * np.pi / 2) ** 2 for t in range(51)]
    np.testing.assert_allclose(np.cumprod(1 - betas)[:-1], np.array(signal[1:-1]) / signal[0], rtol=1e-9)
    assert betas[-1] == 0.999


@pytest.mark.parametrize("betas", [linear_betas(1000), cosine_betas(1000), linear_betas(7, 0.1, 0.3)])
def test_every_coefficient_agrees_with_a_loop_over_the_steps(betas):
    schedule = jax.tree.map(np.asarray, NoiseSchedule.from_betas(betas))
    product = 1.0
    for t, beta in enumerate(betas):
        before, product = product, product * (1 - beta)
        # The precision of x_{t-1} given both neighbours adds up: from the step ahead and from all steps behind.
        variance = 0.0 if t == 0 else 1 / ((1 - beta) / beta + 1 / (1 - before))
        weight_x0 = 1.0 if t == 0 else variance * np.sqrt(before) / (1 - before)
        expected = {
            "betas": beta,
            "alphas": 1 - beta,
            "alphas_bar": product,
            "sqrt_alphas_bar": product**0.5,
            "sqrt_one_minus_alphas_bar": (1 - product) ** 0.5,
            "posterior_variance": variance,
            "posterior_mean_x0": weight_x0,
            "posterior_mean_xt": variance * np.sqrt(1 - beta) / beta,
        }
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(schedule, name)[t], value, rtol=1e-5, err_msg=f"{name} at {t}")


def test_posterior_log_variance_is_clipped_at_the_first_step_only():
    schedule = NoiseSchedule.from_betas(linear_betas(10))
    np.testing.assert_allclose(schedule.posterior_log_variance[1:], np.log(schedule.posterior_variance[1:]), rtol=1e-5)
    assert schedule.posterior_log_variance[0] == schedule.posterior_log_variance[1]
    assert schedule.posterior_variance[0] == 0


def test_a_schedule_is_float32_and_knows_its_length():
    schedule = NoiseSchedule.from_betas(cosine_betas(12))
    assert schedule.steps == 12
    assert all(field.shape == (12,) and field.dtype == jnp.float32 for field in schedule)


@pytest.mark.parametrize("betas", [[0.1], [0.0, 0.1], [0.1, 1.0]])
def test_impossible_variances_are_refused(betas):
    with pytest.raises(ValueError, match=r"at least 2 steps|strictly between"):
        NoiseSchedule.from_betas(np.array(betas))
