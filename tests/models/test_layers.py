import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import ConvTranspose, conv_transpose
from gen_jax.models.layers import mean_pool, upsample_nearest


def plain(x, kernel):
    return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME")


def operands(size, dtype=jnp.float32):
    x, w, u, v = jax.random.split(jax.random.key(0), 4)
    return (
        jax.random.normal(x, (2, 3, 5, 4), dtype),
        jax.random.normal(w, (size, size, 4, 3), dtype),
        jax.random.normal(u, (2, 6, 10, 3), dtype),
        jax.random.normal(v, (size, size, 4, 3), dtype),
    )


def transposed_by_loops(x, kernel):
    """Each input pixel stamps the reversed kernel onto the output; SAME cuts the borders so that 2n pixels remain."""
    batch, height, width, _ = x.shape
    size, out = kernel.shape[0], kernel.shape[-1]
    canvas = np.zeros((batch, 2 * height + size, 2 * width + size, out))
    for i in range(height):
        for j in range(width):
            stamp = np.einsum("bc,hwcd->bhwd", x[:, i, j], kernel[::-1, ::-1])
            canvas[:, 2 * i : 2 * i + size, 2 * j : 2 * j + size] += stamp
    low = (size - 2) // 2
    return canvas[:, low : low + 2 * height, low : low + 2 * width]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_conv_transpose_agrees_with_loops_over_the_pixels(size):
    x, kernel, _, _ = operands(size)
    expected = transposed_by_loops(np.asarray(x), np.asarray(kernel))
    np.testing.assert_allclose(conv_transpose(x, kernel), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_conv_transpose_has_the_gradients_of_the_plain_operation(size):
    x, kernel, cotangent, _ = operands(size)
    gradients = jax.vjp(conv_transpose, x, kernel)[1](cotangent)
    expected = jax.vjp(plain, x, kernel)[1](cotangent)
    for gradient, reference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [3, 4])
def test_conv_transpose_has_the_second_derivatives_of_the_plain_operation(size):
    x, kernel, cotangent, direction = operands(size)

    def second(operation):
        def slope(x, kernel):
            # The sine makes every second derivative, the mixed ones included, differ from zero.
            gradients = jax.grad(lambda *p: jnp.sum(jnp.sin(operation(*p)) * cotangent), (0, 1))(x, kernel)
            return jnp.sum(gradients[0] ** 2) + jnp.sum(gradients[1] * direction)

        return jax.jit(jax.grad(slope, (0, 1)))(x, kernel)

    for gradient, reference in zip(second(conv_transpose), second(plain), strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-3, atol=1e-3)


def test_conv_transpose_weight_gradient_is_in_each_platforms_own_form():
    x, kernel, cotangent, _ = operands(4)
    gradient = jax.jit(lambda x, kernel: jax.vjp(conv_transpose, x, kernel)[1](cotangent)[1]).trace(x, kernel)
    plain_gradient = jax.jit(lambda x, kernel: jax.vjp(plain, x, kernel)[1](cotangent)[1]).trace(x, kernel)

    def convolutions(traced, platform):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        # What dilates the window (rhs) is the gradient of a strided convolution; lhs, that of a transposed one.
        return [line.split("window")[1].split("}")[0] for line in text.splitlines() if "stablehlo.convolution" in line]

    for platform in ("tpu", "cuda"):
        assert convolutions(gradient, platform) == convolutions(plain_gradient, platform)
    assert convolutions(gradient, "cpu") != convolutions(plain_gradient, "cpu")
    assert len(convolutions(gradient, "cpu")) == 1
    assert "rhs_dilate = [2, 2]" in convolutions(gradient, "cpu")[0]


def test_conv_transpose_computes_in_bfloat16():
    x, kernel, cotangent, _ = operands(4, jnp.bfloat16)
    wide = [a.astype(jnp.float32) for a in (x, kernel)]
    y, pullback = jax.vjp(conv_transpose, x, kernel)
    y_wide, pullback_wide = jax.vjp(plain, *wide)
    got = (y, *pullback(cotangent))
    expected = (y_wide, *pullback_wide(cotangent.astype(jnp.float32)))
    for value, reference in zip(got, expected, strict=True):
        assert value.dtype == jnp.bfloat16
        np.testing.assert_allclose(value.astype(jnp.float32), reference, rtol=0.05, atol=0.1)


def test_conv_transpose_refuses_a_kernel_smaller_than_the_stride():
    with pytest.raises(ValueError, match="at least 2x2"):
        conv_transpose(jnp.zeros((1, 2, 2, 1)), jnp.zeros((1, 1, 1, 1)))


@pytest.mark.parametrize("use_bias", [True, False])
def test_the_module_takes_the_parameters_of_flax_and_gives_its_values(use_bias):
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    flax_module = nn.ConvTranspose(5, (4, 4), (2, 2), use_bias=use_bias, bias_init=nn.initializers.normal(1.0))
    variables = flax_module.init(jax.random.key(2), x)
    module = ConvTranspose(5, use_bias=use_bias)
    np.testing.assert_allclose(module.apply(variables, x), flax_module.apply(variables, x), rtol=1e-5, atol=1e-5)
    own = jax.eval_shape(module.init, jax.random.key(2), x)
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, variables)


def test_the_module_keeps_float32_parameters_in_bfloat16():
    module = ConvTranspose(5, dtype=jnp.bfloat16)
    x = jnp.ones((1, 2, 2, 3))
    variables = module.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert module.apply(variables, x).dtype == jnp.bfloat16


def test_mean_pool_and_upsampling_by_hand():
    x = jnp.arange(8.0).reshape(1, 2, 4, 1)
    np.testing.assert_allclose(mean_pool(x)[0, :, :, 0], [[2.5, 4.5]])
    np.testing.assert_allclose(upsample_nearest(x)[0, :2, :, 0], [[0, 0, 1, 1, 2, 2, 3, 3]] * 2)
    np.testing.assert_allclose(mean_pool(upsample_nearest(x)), x)
