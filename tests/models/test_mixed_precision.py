import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models.mixed_precision import Dense, add_bias, apply_kernel

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(6, 5)), jnp.float32)
KERNEL = jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)


def product(x, kernel):
    return x @ kernel


def gradients_for(platform, x, kernel, cotangent):
    """The gradient in the kernel, with the branch of a platform that is not here."""

    def chosen(*args, default, **branches):
        return branches.get(platform, default)(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.lax, "platform_dependent", chosen)
        return jax.vjp(lambda w: apply_kernel(product, x, w), kernel)[1](cotangent)[0]


def test_of_float32_it_is_the_operation_itself():
    np.testing.assert_array_equal(apply_kernel(product, X, KERNEL), X @ KERNEL)
    assert "custom" not in str(jax.make_jaxpr(lambda w: apply_kernel(product, X, w))(KERNEL))


def test_the_kernel_meets_x_in_the_dtype_of_x():
    x = jnp.asarray(X, jnp.bfloat16)
    found = apply_kernel(product, x, KERNEL)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, x @ jnp.asarray(KERNEL, jnp.bfloat16))


def test_on_a_tpu_the_gradient_of_the_kernel_is_not_rounded_to_bfloat16():
    x, cotangent = jnp.asarray(X, jnp.bfloat16), jnp.asarray(RNG.normal(size=(6, 3)), jnp.bfloat16)
    exact = np.asarray(x, np.float64).T @ np.asarray(cotangent, np.float64)
    found = gradients_for("tpu", x, KERNEL, cotangent)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)
    elsewhere = gradients_for("cpu", x, KERNEL, cotangent)
    assert elsewhere.dtype == jnp.float32
    np.testing.assert_array_equal(elsewhere, elsewhere.astype(jnp.bfloat16))
    np.testing.assert_allclose(elsewhere, exact, rtol=1e-2, atol=1e-2)


def test_the_gradient_in_x_is_that_of_the_cast_kernel():
    x, cotangent = jnp.asarray(X, jnp.bfloat16), jnp.ones((6, 3), jnp.bfloat16)
    found = jax.vjp(lambda x: apply_kernel(product, x, jnp.asarray(KERNEL)), x)[1](cotangent)[0]
    np.testing.assert_array_equal(found, cotangent @ jnp.asarray(KERNEL, jnp.bfloat16).T)


def test_a_bias_of_many_examples_is_added_up_in_float32():
    # In bfloat16 a sum of ones stops growing at 256.
    gradient = jax.grad(lambda b: add_bias(jnp.zeros((3, 1000, 2), jnp.bfloat16), b).sum().astype(jnp.float32))
    np.testing.assert_array_equal(gradient(jnp.zeros(2)), [3000.0, 3000.0])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_layer_has_the_parameters_the_output_and_the_gradients_of_flax(dtype):
    ours, theirs = Dense(3, dtype=dtype), nn.Dense(3, dtype=dtype)
    params = ours.init(jax.random.key(0), X)
    jax.tree.map(np.testing.assert_array_equal, params, theirs.init(jax.random.key(0), X))
    params["params"]["bias"] = jnp.asarray([1.0, -2.0, 0.5])
    x = X.reshape(2, 3, 5)
    np.testing.assert_array_equal(ours.apply(params, x), theirs.apply(params, x))

    def total(net):
        return jax.grad(lambda params: (net.apply(params, x).astype(jnp.float32) ** 2).sum())(params)

    close = {"rtol": 1e-6} if dtype == jnp.float32 else {"rtol": 2e-2, "atol": 2e-2}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **close), total(ours), total(theirs))


def test_it_can_be_differentiated_twice():
    x = jnp.asarray(X, jnp.bfloat16)

    def penalty(kernel):
        slope = jax.grad(lambda x: (apply_kernel(product, x, kernel) ** 2).sum().astype(jnp.float32))(x)
        return (slope.astype(jnp.float32) ** 2).sum()

    def expected(kernel):
        return (2 * jnp.asarray(x, jnp.float32) @ kernel @ kernel.T) ** 2

    found = jax.grad(penalty)(jnp.asarray(KERNEL))
    wanted = jax.grad(lambda kernel: expected(kernel).sum())(jnp.asarray(KERNEL))
    np.testing.assert_allclose(found, wanted, rtol=0.1, atol=0.02 * np.abs(wanted).max())


def test_tangents_are_those_of_the_cast_kernel_and_bias():
    x, bias = X.astype(jnp.bfloat16), jnp.asarray([1.0, -2.0, 0.5])

    def ours(x, kernel, bias):
        return add_bias(apply_kernel(product, x, kernel), bias)

    def cast(x, kernel, bias):
        return x @ kernel.astype(x.dtype) + bias.astype(x.dtype).reshape(1, -1)

    operands = x, KERNEL, bias
    along = jax.tree.map(jnp.cos, operands)
    for found, expected in zip(jax.jvp(ours, operands, along), jax.jvp(cast, operands, along), strict=True):
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(found.astype(jnp.float32), expected.astype(jnp.float32), rtol=2e-2, atol=5e-2)


def test_a_bias_is_added_up_in_float32_over_what_is_mapped_too():
    def total(bias):
        return jax.vmap(lambda y: add_bias(y, bias))(jnp.zeros((3, 1000, 2), jnp.bfloat16)).sum().astype(jnp.float32)

    np.testing.assert_array_equal(jax.grad(total)(jnp.zeros(2)), [3000.0, 3000.0])
    mapped_alone = jax.grad(lambda b: jax.vmap(lambda y: add_bias(y, b))(jnp.zeros((3000, 2), jnp.bfloat16)).sum())
    np.testing.assert_array_equal(mapped_alone(jnp.zeros(2)), [3000.0, 3000.0])
