import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import MaxoutDiscriminator, MLPGenerator


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_parameters_of_the_mnist_configuration():
    generator = jax.eval_shape(MLPGenerator((28, 28, 1)).init, jax.random.key(0), jnp.ones((1, 100)))
    assert count(generator) == (100 + 1) * 1200 + (1200 + 1) * 1200 + (1200 + 1) * 784

    def init(key, x):
        return MaxoutDiscriminator().init(key, x, train=False)

    discriminator = jax.eval_shape(init, jax.random.key(0), jnp.ones((1, 28, 28, 1)))
    assert count(discriminator) == (784 + 1) * 1200 + (240 + 1) * 1200 + (240 + 1)


@pytest.mark.parametrize(("output", "low", "high"), [(nn.tanh, -1, 1), (nn.sigmoid, 0, 1)])
def test_the_output_function_bounds_the_samples(output, low, high, random_variables):
    z = 100 * jax.random.normal(jax.random.key(0), (20, 4))
    model = MLPGenerator((3, 2), (8,), output)
    samples = model.apply(random_variables(model, z), z)
    assert samples.shape == (20, 3, 2)
    assert samples.min() >= low
    assert samples.max() <= high
    assert samples.max() > high - 0.1
    assert samples.min() < low + 0.1


def test_maxout_takes_the_largest_of_its_pieces(random_variables):
    model = MaxoutDiscriminator((3,), pieces=2)
    x = jax.random.normal(jax.random.key(0), (5, 4))
    variables = random_variables(model, x, train=False)
    first, last = (jax.tree.map(np.asarray, variables["params"][f"Dense_{i}"]) for i in (0, 1))
    pieces = (np.asarray(x) @ first["kernel"] + first["bias"]).reshape(5, 3, 2)
    expected = np.maximum(pieces[..., 0], pieces[..., 1]) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(model.apply(variables, x, train=False), expected[:, 0], rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_only(random_variables):
    model = MaxoutDiscriminator((16,), pieces=2)
    x = jnp.ones((4, 6))
    variables = random_variables(model, x, train=False)
    still = model.apply(variables, x, train=False)
    assert still.shape == (4,)
    np.testing.assert_array_equal(still, jnp.broadcast_to(still[:1], (4,)))
    dropped = model.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)})
    assert len(np.unique(dropped)) == 4


@pytest.mark.parametrize(("dropout", "input_dropout"), [(1.0, 0.0), (0.0, 1.0)])
def test_dropping_everything_leaves_the_biases(dropout, input_dropout, random_variables):
    model = MaxoutDiscriminator((4,), 2, dropout, input_dropout)
    x = jax.random.normal(jax.random.key(0), (3, 2))
    params = random_variables(model, x, train=False)["params"]
    first, last = (jax.tree.map(np.asarray, params[f"Dense_{i}"]) for i in (0, 1))
    logits = model.apply({"params": params}, x, train=True, rngs={"dropout": jax.random.key(1)})
    hidden = first["bias"].reshape(4, 2).max(-1) * (1 - dropout)  # nothing is left of it where all units are dropped
    np.testing.assert_allclose(logits, np.repeat(hidden @ last["kernel"] + last["bias"], 3), rtol=1e-5)
