import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models.dropout import Dropout

X = 1.0 + jnp.arange(60_000.0).reshape(100, 600)
KEY = jax.random.key(3)


def dropped(rate, x=X, train=True, key=KEY):
    return Dropout(rate).apply({}, x, train=train, rngs={"dropout": key})


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_share_is_zero_and_the_rest_is_scaled(rate):
    out = np.asarray(dropped(rate))
    kept = out != 0
    deviation = np.sqrt(rate * (1 - rate) / X.size)
    assert abs(1 - kept.mean() - rate) < 5 * deviation
    np.testing.assert_allclose(out[kept], np.asarray(X)[kept] / (1 - rate), rtol=1e-6)


def test_it_drops_what_flax_drops():
    expected = nn.Dropout(0.3, deterministic=False).apply({}, X, rngs={"dropout": KEY})
    np.testing.assert_array_equal(dropped(0.3), expected)


def test_the_gradient_flows_where_the_activation_was_kept():
    gradient = jax.grad(lambda x: dropped(0.25, x).sum())(X)
    np.testing.assert_allclose(gradient, np.asarray(dropped(0.25)) / X, rtol=1e-6)


def test_keys_differ():
    assert not np.array_equal(dropped(0.5), dropped(0.5, key=jax.random.key(4)))


@pytest.mark.parametrize(("rate", "train"), [(0.0, True), (0.5, False)])
def test_it_changes_nothing_without_a_rate_or_training(rate, train):
    np.testing.assert_array_equal(Dropout(rate).apply({}, X, train=train), X)


def test_everything_can_be_dropped():
    np.testing.assert_array_equal(dropped(1.0), jnp.zeros_like(X))
    np.testing.assert_array_equal(jax.grad(lambda x: dropped(1.0, x).sum())(X), jnp.zeros_like(X))


def test_on_a_cpu_the_backward_pass_is_left_a_byte_for_each_activation():
    layers, x, weights = 8, jnp.ones((512, 512)), jnp.eye(512)

    def loss(x):
        for number in range(layers):
            x = dropped(0.5, jnp.sin(x @ weights), key=jax.random.fold_in(KEY, number))
        return x.sum()

    memory = jax.jit(jax.grad(loss)).lower(x).compile().memory_analysis()
    # What the sine needs, a byte for the mask, and room for two layers more to work in; random bits would be 4.
    assert memory.temp_size_in_bytes < (layers + 2) * (4 + 1) * x.size
