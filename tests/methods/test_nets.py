import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.methods.nets import Nets, init, mode
from gen_jax.training.keys import derive

KEY = jax.random.key(0)


class Plain(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.constant(3.0), ())


class Dropping(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dropout(0.5, deterministic=not train)(x)


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return nn.BatchNorm(not train, momentum=0.9, epsilon=0.0)(x)


def forward(net, module, params, variables, *inputs, train, key=None):
    """The output of one net, and its variables afterwards."""
    nets = Nets({net: module}, params, variables, train=train)
    return nets(net, *inputs, key=key), nets.aux().variables[net]


def split(variables):
    return {"net": variables.get("params", {})}, {"net": {k: v for k, v in variables.items() if k != "params"}}


@pytest.mark.parametrize("train", [True, False])
def test_only_networks_that_ask_are_told_whether_they_train(train):
    assert mode(Plain(), train) == {}
    assert mode(Normed(), train) == {"train": train}


@pytest.mark.parametrize("train", [True, False])
def test_network_without_modes_is_applied_as_it_is(train):
    params, variables = split(init(Plain(), KEY, jnp.ones((2, 1))))
    output, updated = forward("net", Plain(), params, variables, jnp.full((2, 1), 2.0), train=train)
    np.testing.assert_array_equal(output, np.full((2, 1), 6.0))
    assert updated == {}


def test_batch_statistics_move_in_training_alone():
    x = jnp.array([[1.0], [3.0]])
    params, variables = split(init(Normed(), KEY, x))
    normed, moved = forward("net", Normed(), params, variables, x, train=True)
    running, kept = forward("net", Normed(), params, variables, x, train=False)
    np.testing.assert_allclose(normed, [[-1.0], [1.0]], rtol=1e-5)
    np.testing.assert_allclose(moved["batch_stats"]["BatchNorm_0"]["mean"], [0.2], rtol=1e-5)
    np.testing.assert_allclose(running, x)
    np.testing.assert_array_equal(kept["batch_stats"]["BatchNorm_0"]["mean"], [0.0])


def test_dropout_follows_the_key_in_training_and_is_off_otherwise():
    x = jnp.ones((8, 8))
    dropped, again, other = (
        np.asarray(forward("net", Dropping(), {"net": {}}, {"net": {}}, x, train=True, key=key)[0])
        for key in (KEY, KEY, jax.random.key(1))
    )
    assert set(np.unique(dropped)) == {0.0, 2.0}
    np.testing.assert_array_equal(dropped, again)
    assert (dropped != other).any()
    np.testing.assert_array_equal(forward("net", Dropping(), {"net": {}}, {"net": {}}, x, train=False)[0], x)


def test_a_network_gets_its_own_parameters():
    params = {"net": {"scale": jnp.float32(2.0)}, "other": {"scale": jnp.float32(5.0)}}
    output, _ = forward("other", Plain(), params, {"net": {}, "other": {}}, jnp.ones((1, 1)), train=True)
    np.testing.assert_array_equal(output, [[5.0]])


def test_every_call_has_dropout_of_its_own_and_the_first_that_of_its_name():
    x, empty = jnp.ones((8, 8)), {"net": {}}
    nets = Nets({"net": Dropping()}, empty, empty, KEY, train=True)
    first, second = np.asarray(nets("net", x)), np.asarray(nets("net", x))
    assert (first != second).any()
    named, _ = forward("net", Dropping(), empty, empty, x, train=True, key=derive(KEY, "net"))
    np.testing.assert_array_equal(first, named)


def test_statistics_move_on_from_call_to_call():
    x = jnp.array([[1.0], [3.0]])
    params, variables = split(init(Normed(), KEY, x))
    nets = Nets({"net": Normed()}, params, variables, train=True)
    nets("net", x)
    nets("net", x)
    # 0.9 (0.9 * 0 + 0.1 * 2) + 0.1 * 2
    np.testing.assert_allclose(nets.aux().variables["net"]["batch_stats"]["BatchNorm_0"]["mean"], [0.38], rtol=1e-5)
    np.testing.assert_array_equal(variables["net"]["batch_stats"]["BatchNorm_0"]["mean"], [0.0])
