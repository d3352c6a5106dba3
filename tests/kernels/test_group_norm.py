import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.kernels import group_norm
from gen_jax.kernels.group_norm import EPSILON, by_hand, gradient_by_hand, gradient_of_flax, identity, of_flax
from gen_jax.models.group_norm import GroupNorm

KEYS = jax.random.split(jax.random.key(0), 4)
X = 3.0 + 2.0 * jax.random.normal(KEYS[0], (2, 3, 4, 6))
PARAMS = {"scale": 1.0 + 0.5 * jax.random.normal(KEYS[1], (6,)), "bias": jax.random.normal(KEYS[2], (6,))}
COTANGENT = jax.random.normal(KEYS[3], X.shape)

activations = pytest.mark.parametrize("activation", [identity, nn.swish, jnp.tanh])
divided = pytest.mark.parametrize("groups", [1, 2, 3, 6])


def plain(groups, activation, params, x):
    """Flax's norm, and the activation after it."""
    return activation(nn.GroupNorm(groups).apply({"params": params}, x))


def ours(groups, activation, params, x):
    return GroupNorm(groups, activation).apply({"params": params}, x)


@pytest.mark.parametrize("scaled", [1.0, 1e-3], ids=["", "variance as small as epsilon"])
@pytest.mark.parametrize("form", [by_hand, of_flax])
@activations
@divided
def test_it_is_the_definition(groups, activation, form, scaled):
    x = scaled * (X - 3.0)
    grouped = np.asarray(x, np.float64).reshape(2, 3, 4, groups, -1)
    mean, variance = grouped.mean((1, 2, 4), keepdims=True), grouped.var((1, 2, 4), keepdims=True)
    scale, bias = (np.asarray(PARAMS[name], np.float64) for name in ("scale", "bias"))
    within = ((grouped - mean) / np.sqrt(variance + EPSILON)).reshape(X.shape)
    expected = activation(jnp.asarray(within * scale + bias, jnp.float32))
    found = form(x, *(PARAMS[name].reshape(1, 1, 1, -1) for name in ("scale", "bias")), groups, activation)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@activations
@divided
def test_gradients_are_those_of_its_operations(groups, activation):
    for found, expected in zip(*(pulled(f, groups, activation) for f in (ours, plain)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def pulled(function, groups, activation):
    return jax.tree.leaves(jax.vjp(functools.partial(function, groups, activation), PARAMS, X)[1](COTANGENT))


@activations
@divided
def test_both_forms_have_the_same_gradients(groups, activation):
    scale, bias = (PARAMS[name].reshape(1, 1, 1, -1) for name in ("scale", "bias"))
    forms = gradient_by_hand, gradient_of_flax
    for found, expected in zip(*(form(X, scale, bias, COTANGENT, groups, activation) for form in forms), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_it_can_be_differentiated_twice():
    def slope(function, x):
        gradient = jax.grad(lambda x: jnp.sum(function(2, nn.swish, PARAMS, x) * COTANGENT))(x)
        return jnp.square(gradient).sum()

    found, expected = (jax.grad(functools.partial(slope, f))(X) for f in (ours, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@activations
@divided
def test_tangents_are_those_of_its_operations(groups, activation, dtype):
    x, along = X.astype(dtype), (jax.tree.map(jnp.cos, PARAMS), COTANGENT.astype(dtype))
    norm = GroupNorm(groups, activation, dtype)
    value, tangent = jax.jvp(lambda params, x: norm.apply({"params": params}, x), (PARAMS, x), along)
    assert value.dtype == tangent.dtype == dtype
    wide = x.astype(jnp.float32), along[1].astype(jnp.float32)
    expected = jax.jvp(functools.partial(plain, groups, activation), (PARAMS, wide[0]), (along[0], wide[1]))
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == jnp.float32 else {"rtol": 2e-2, "atol": 5e-2}
    np.testing.assert_allclose(value.astype(jnp.float32), expected[0], **close)
    np.testing.assert_allclose(tangent.astype(jnp.float32), expected[1], **close)


def test_the_four_orders_of_a_second_derivative_agree():
    def value(function, x):
        return jnp.sum(jnp.sin(function(2, nn.swish, PARAMS, x)))

    def forward(function):
        return lambda x: jax.jvp(function, (x,), (COTANGENT,))[1]

    def reverse(function):
        return lambda x: jnp.vdot(jax.grad(function)(x), COTANGENT)

    expected = forward(forward(functools.partial(value, plain)))(X)
    for outer in (forward, reverse):
        for inner in (forward, reverse):
            found = jax.jit(outer(inner(functools.partial(value, ours))))(X)
            np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_the_backward_pass_needs_the_input_alone_of_what_is_as_large():
    _, pull = jax.vjp(lambda x: ours(2, nn.swish, PARAMS, x), X)
    large = [leaf for leaf in jax.tree.leaves(pull) if leaf.size >= X.size]
    assert len(large) == 1
    np.testing.assert_array_equal(large[0], X)


def test_other_platforms_have_the_operations_of_flax_and_their_gradients(monkeypatch):
    def lowered(platform):
        def step(x):
            value, pull = jax.vjp(lambda x: ours(2, nn.swish, PARAMS, x), x)
            return value, pull(COTANGENT)

        return jax.jit(step).trace(X).lower(lowering_platforms=(platform,)).as_text()

    platforms = "cpu", "cuda", "tpu"
    before = [lowered(platform) for platform in platforms]
    monkeypatch.setattr(group_norm, "by_hand", of_flax)
    monkeypatch.setattr(group_norm, "gradient_by_hand", gradient_of_flax)
    after = [lowered(platform) for platform in platforms]
    assert [text != other for text, other in zip(before, after, strict=True)] == [True, False, False]


def test_equal_pixels_are_normalised_to_the_bias():
    # Of numbers as large the mean square, rounded, is now and then less than the square of the mean.
    x = jnp.broadcast_to(1000.0 + jnp.arange(100.0).reshape(-1, 1, 1, 1) / 7, (100, 3, 5, 6))
    # XLA's order of summation decides by how much the mean is off: here two units of its last place.
    bound = 4 * np.spacing(np.float32(x.max())) * np.abs(PARAMS["scale"]).max() / np.sqrt(EPSILON)
    np.testing.assert_allclose(ours(2, identity, PARAMS, x), np.broadcast_to(PARAMS["bias"], x.shape), 0, bound)
    assert np.isfinite(jax.grad(lambda x: ours(2, nn.swish, PARAMS, x).sum())(x)).all()


def test_parameters_are_named_and_begin_as_those_of_flax():
    found, expected = (norm.init(KEYS[0], X)["params"] for norm in (GroupNorm(3), nn.GroupNorm(3)))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("form", [by_hand, of_flax])
def test_the_dtype_is_that_of_the_input(form):
    scale, bias = (PARAMS[name].reshape(1, 1, 1, -1) for name in ("scale", "bias"))
    found = form(X.astype(jnp.bfloat16), scale, bias, 2, nn.swish)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), form(X, scale, bias, 2, nn.swish), rtol=0.02, atol=0.02)


def test_bfloat16_is_rounded_at_the_end_alone():
    x = X.astype(jnp.bfloat16)
    found = GroupNorm(2, nn.swish, jnp.bfloat16).apply({"params": PARAMS}, x)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, ours(2, nn.swish, PARAMS, x.astype(jnp.float32)).astype(jnp.bfloat16))
    assert (
        jax.grad(lambda x: GroupNorm(2, nn.swish, jnp.bfloat16).apply({"params": PARAMS}, x).sum())(x).dtype == x.dtype
    )


def test_channels_that_cannot_be_divided_are_refused():
    with pytest.raises(ValueError, match="6 channels cannot be divided into 4 groups"):
        GroupNorm(4).init(KEYS[0], X)
