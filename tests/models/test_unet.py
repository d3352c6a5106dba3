import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import UNet
from gen_jax.models.group_norm import GroupNorm
from gen_jax.models.unet import ResidualBlock, SelfAttention

TINY = UNet(4, multipliers=(1, 2), blocks=1, attention=(4,), dropout=0.5)
X = jax.random.normal(jax.random.key(5), (2, 8, 8, 1))
T = jnp.array([3, 700])


def shapes(model, x):
    init = functools.partial(model.init_with_output, train=False)
    return jax.eval_shape(init, jax.random.key(0), x, jnp.zeros(x.shape[0], jnp.int32))


@pytest.fixture(scope="module")
def trained(random_variables):
    return random_variables(TINY, X, T, train=False)


@functools.cache
def forward(model, train):
    return jax.jit(functools.partial(model.apply, train=train))


def test_the_cifar10_configuration_has_the_published_number_of_parameters():
    _, variables = shapes(UNet(128), jnp.ones((1, 32, 32, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 35_746_307


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3), (64, 64, 3), (16, 24, 2)])
def test_the_output_has_the_shape_of_the_input(shape):
    out, _ = shapes(UNet(4, blocks=1), jnp.ones((2, *shape)))
    assert out.shape == (2, *shape)


def test_the_number_of_output_channels_can_differ():
    out, _ = shapes(UNet(4, multipliers=(1, 1), out_channels=6), jnp.ones((2, 8, 8, 3)))
    assert out.shape == (2, 8, 8, 6)


@pytest.mark.parametrize("shape", [(28, 32, 1), (32, 28, 1)])
def test_sizes_that_cannot_be_halved_often_enough_are_refused(shape):
    with pytest.raises(ValueError, match="divisible by 8"):
        shapes(UNet(4), jnp.ones((1, *shape)))


def test_attention_stands_at_the_resolutions_asked_for_and_in_the_middle():
    _, variables = shapes(UNet(4, blocks=2, attention=(16, 4)), jnp.ones((1, 32, 32, 3)))
    found = {name.removesuffix("_attention") for name in variables["params"] if name.endswith("_attention")}
    by_hand = {"down_1_0", "down_1_1", "up_1_0", "up_1_1", "up_1_2"}  # 16x16
    by_hand |= {"down_3_0", "down_3_1", "up_3_0", "up_3_1", "up_3_2"}  # 4x4
    assert found == by_hand | {"middle"}


def test_what_starts_at_zero_makes_the_output_zero(trained):
    def starting(key):  # only what is returned is computed
        params = TINY.init(key, X, T, train=False)["params"]
        last_of_blocks = [params[f"{name}_0"]["Conv_1"]["kernel"] for name in ("down_0", "middle", "up_1")]
        return params["out"], [*last_of_blocks, params["middle_attention"]["out"]["kernel"], params["out"]["kernel"]]

    out, kernels = jax.jit(starting)(jax.random.key(0))
    for kernel in kernels:
        np.testing.assert_array_equal(kernel, np.zeros(kernel.shape))
    started = {"params": {**trained["params"], "out": out}}
    np.testing.assert_array_equal(forward(TINY, train=False)(started, X, T), np.zeros(X.shape))


def test_it_depends_on_the_time_and_on_every_pixel_of_its_own_example(trained):
    apply = forward(TINY, train=False)
    out = apply(trained, X, T)
    assert np.abs(out - apply(trained, X, T + 100)).mean() > 1e-3
    np.testing.assert_allclose(apply(trained, X, T.astype(jnp.float32)), out, atol=1e-5)
    gradient = jax.jit(jax.grad(lambda x: TINY.apply(trained, x, T, train=False)[0, 0, 0, 0]))(X)
    assert (gradient[0] != 0).all()
    np.testing.assert_array_equal(gradient[1], jnp.zeros_like(gradient[1]))


def test_dropout_acts_in_training_only(trained):
    still, dropping = forward(TINY, train=False), forward(TINY, train=True)
    first, second = (dropping(trained, X, T, rngs={"dropout": jax.random.key(i)}) for i in (0, 1))
    assert not np.allclose(first, second, atol=1e-3)
    assert not np.allclose(first, still(trained, X, T), atol=1e-3)


def test_bfloat16_agrees_roughly_and_returns_float32(trained):
    narrow = forward(TINY.clone(dtype=jnp.bfloat16), train=False)(trained, X, T)
    wide = forward(TINY, train=False)(trained, X, T)
    assert narrow.dtype == jnp.float32
    assert 0 < jnp.abs(narrow - wide).mean() < 0.1 * jnp.abs(wide).mean()


@pytest.mark.parametrize(("channels", "groups"), [(3, 1), (4, 1), (32, 8), (48, 8), (96, 16), (128, 32), (192, 32)])
def test_norms_have_32_groups_or_as_many_as_leave_4_channels_each(channels, groups):
    block = ResidualBlock(channels, dropout=0.0)
    x, time = jnp.ones((1, 2, 2, channels)), jnp.ones((1, 8))
    found = []

    def record(next_method, arguments, keywords, context):
        if isinstance(context.module, GroupNorm):
            found.append(context.module.groups)
        return next_method(*arguments, **keywords)

    with nn.intercept_methods(record):
        jax.eval_shape(functools.partial(block.init, train=False), jax.random.key(0), x, time)
    assert found == [groups, groups]


@pytest.mark.parametrize("channels", [4, 32])
def test_no_norm_takes_out_the_time(channels, random_variables):
    block = ResidualBlock(channels, dropout=0.0)
    x = jax.random.normal(jax.random.key(0), (1, 2, 2, channels))
    time = jax.random.normal(jax.random.key(1), (2, 1, 8))
    variables = random_variables(block, x, time[0], train=False)
    early, late = (forward(block, train=False)(variables, x, t) for t in time)
    assert np.abs(early - late).mean() > 0.01 * np.abs(early - x).mean()


@pytest.mark.parametrize("features", [6, 5])
def test_residual_block_starts_as_its_shortcut(features, random_variables):
    x, time = jax.random.normal(jax.random.key(0), (1, 2, 2, 6)), jnp.ones((1, 8))
    block = ResidualBlock(features, dropout=0.0)
    params = random_variables(block, x, time, train=False)["params"]
    params["Conv_1"] = jax.tree.map(jnp.zeros_like, params["Conv_1"])
    out = forward(block, train=False)({"params": params}, x, time)
    linear = params.get("shortcut", {"kernel": np.eye(6), "bias": np.zeros(6)})
    expected = np.asarray(x) @ np.asarray(linear["kernel"]) + np.asarray(linear["bias"])
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_self_attention_agrees_with_loops_over_the_pixels(random_variables):
    x = jax.random.normal(jax.random.key(0), (2, 2, 3, 4))
    module = SelfAttention()
    params = random_variables(module, x, scale=0.7)["params"]
    norm, query, key, value, out = (
        jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params[name])
        for name in ("GroupNorm_0", "query", "key", "value", "out")
    )
    for image, result in zip(np.asarray(x, np.float64), jax.jit(module.apply)({"params": params}, x), strict=True):
        pixels = image.reshape(6, 4)
        h = (pixels - pixels.mean()) / pixels.std() * norm["scale"] + norm["bias"]  # 4 channels are one group
        q, k, v = (h @ part["kernel"] + part["bias"] for part in (query, key, value))
        for i in range(6):
            weights = np.array([np.exp(q[i] @ k[j] / 2) for j in range(6)])
            attended = sum(weights[j] * v[j] for j in range(6)) / weights.sum()
            expected = pixels[i] + attended @ out["kernel"] + out["bias"]
            np.testing.assert_allclose(result.reshape(6, 4)[i], expected, rtol=1e-3, atol=1e-4)
