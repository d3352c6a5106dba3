import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.losses import clip_weights, gradient_penalty, wasserstein_critic, wasserstein_generator

KEY = jax.random.key(0)


def test_linear_critic_of_slope_one_measures_the_distance_of_two_shifted_gaussians():
    quantiles = jnp.asarray(stats.norm.ppf((np.arange(1000) + 0.5) / 1000), jnp.float32)
    real, fake = quantiles + 0.75, quantiles
    distance = -wasserstein_critic(real, fake).mean()
    np.testing.assert_allclose(distance, 0.75, rtol=1e-5)
    np.testing.assert_allclose(distance, stats.wasserstein_distance(real, fake), rtol=1e-5)


def test_generator_gains_what_the_critic_loses():
    real, fake = jnp.zeros(3), jnp.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(wasserstein_generator(fake), -wasserstein_critic(real, fake))


@pytest.mark.parametrize(("weight", "target"), [(10.0, 1.0), (3.0, 0.0)])
def test_penalty_of_a_linear_critic_is_its_slope_off_target_squared(weight, target):
    direction = jnp.array([[3.0, 0.0], [0.0, 4.0]]) / 2  # norm 2.5
    real, fake = jax.random.normal(KEY, (2, 6, 2, 2))

    @jax.jit
    def penalty(real, fake):
        return gradient_penalty(lambda x: (x * direction[None]).sum((1, 2)), real, fake, KEY, weight, target)

    np.testing.assert_allclose(penalty(real, fake), np.full(6, weight * (2.5 - target) ** 2), rtol=1e-5)


def test_penalty_is_taken_at_one_random_point_of_each_segment():
    real, fake = jnp.zeros((64, 3)), jnp.ones((64, 3))

    # The critic |x|^2 / 2 has slope |x|, so the penalty with target 0 tells where it was taken: |x|^2 = 3 (1 - e)^2.
    @jax.jit
    def penalty(real, fake):
        return gradient_penalty(lambda x: (x**2).sum(1) / 2, real, fake, KEY, weight=1.0, target=0.0)

    position = np.sqrt(np.asarray(penalty(real, fake)) / 3)
    assert stats.kstest(position, "uniform").pvalue > 0.01
    expected = 1 - jax.random.uniform(KEY, (64, 1))[:, 0]
    np.testing.assert_allclose(position, expected, rtol=1e-4, atol=1e-5)


def test_penalty_of_each_example_is_its_own():
    real, fake = jax.random.normal(KEY, (2, 4, 3))

    @jax.jit
    def penalty(real, fake):
        return gradient_penalty(lambda x: jnp.tanh(x).sum(1) ** 2, real, fake, KEY)

    value, changed = penalty(real, fake), penalty(real.at[1:].set(5.0), fake)
    np.testing.assert_allclose(value[0], changed[0])
    assert (value[1:] != changed[1:]).all()


def test_penalty_has_a_finite_gradient_where_the_critic_is_flat():
    def penalty(slope):
        real = jnp.ones((2, 3))
        return gradient_penalty(lambda x: slope * x.sum(1), real, -real, KEY).sum()

    value, gradient = jax.jit(jax.value_and_grad(penalty))(0.0)
    np.testing.assert_allclose(value, 20.0)
    np.testing.assert_allclose(gradient, 0.0)


def test_penalty_trains_the_critic_with_the_derivative_of_the_closed_form():
    def penalty(slope):
        real = jnp.ones((5, 1))
        return gradient_penalty(lambda x: slope * x.sum(1), real, -real, KEY).mean()

    np.testing.assert_allclose(jax.jit(jax.grad(penalty))(1.7), 2 * 10 * 0.7, rtol=1e-5)


def test_clipping_reaches_every_leaf_and_leaves_small_weights_alone():
    params = {"a": jnp.array([-3.0, -0.005, 0.02]), "b": {"c": jnp.array([[0.5]])}}
    clipped = clip_weights(params, 0.01)
    np.testing.assert_allclose(clipped["a"], [-0.01, -0.005, 0.01])
    np.testing.assert_allclose(clipped["b"]["c"], [[0.01]])


def test_clipping_to_nothing_is_refused():
    with pytest.raises(ValueError, match="positive"):
        clip_weights({"a": jnp.zeros(1)}, 0.0)
