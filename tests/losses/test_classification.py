import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from gen_jax.losses.classification import cross_entropy


def test_is_minus_the_log_of_the_true_class_share():
    logits = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    label = np.array([0, 1, 2, 3, 3, 0], np.int32)
    shares = scipy.special.softmax(logits.astype(np.float64), axis=1)[np.arange(6), label]
    np.testing.assert_allclose(cross_entropy(jnp.array(logits), jnp.array(label)), -np.log(shares), rtol=1e-5)


def test_equal_logits_cost_the_log_of_the_number_of_classes():
    np.testing.assert_allclose(cross_entropy(jnp.zeros((1, 10)), jnp.array([3])), [np.log(10)], rtol=1e-6)


def test_gradient_is_the_shares_less_the_label_and_stays_finite_for_large_logits():
    logits, label = jnp.array([[1000.0, -1000.0, 0.0]]), jnp.array([1])
    gradient = jax.grad(lambda x: cross_entropy(x, label)[0])(logits)
    np.testing.assert_allclose(gradient, [[1.0, -1.0, 0.0]], atol=1e-6)
    assert np.isfinite(cross_entropy(logits, label)[0])
