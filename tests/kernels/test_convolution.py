import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.kernels import convolution as convolution_file
from gen_jax.kernels.convolution import convolution, same_padding, transposed_convolution
from gen_jax.kernels.strided import PIXELS, WINDOWS, WINOGRAD, plain_convolution


@pytest.fixture
def always(monkeypatch):
    """Every convolution counts as large and wide enough for the forms of a CPU, and none as narrow."""
    monkeypatch.setattr(convolution_file, "PRODUCTS", 0)
    monkeypatch.setattr(convolution_file, "CHANNELS", 1)
    monkeypatch.setattr(convolution_file, "NARROW", 0)


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
def test_a_transposed_convolution_agrees_with_loops_over_the_pixels(size):
    x, kernel, _, _ = operands(size)
    expected = transposed_by_loops(np.asarray(x), np.asarray(kernel))
    np.testing.assert_allclose(transposed_convolution(x, kernel), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_a_transposed_convolution_has_the_gradients_of_the_plain_operation(size):
    x, kernel, cotangent, _ = operands(size)
    gradients = jax.vjp(transposed_convolution, x, kernel)[1](cotangent)
    expected = jax.vjp(plain, x, kernel)[1](cotangent)
    for gradient, reference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [3, 4])
def test_a_transposed_convolution_has_the_second_derivatives_of_the_plain_operation(size):
    x, kernel, cotangent, direction = operands(size)

    def second(operation):
        def slope(x, kernel):
            # The sine makes every second derivative, the mixed ones included, differ from zero.
            gradients = jax.grad(lambda *p: jnp.sum(jnp.sin(operation(*p)) * cotangent), (0, 1))(x, kernel)
            return jnp.sum(gradients[0] ** 2) + jnp.sum(gradients[1] * direction)

        return jax.jit(jax.grad(slope, (0, 1)))(x, kernel)

    for gradient, reference in zip(second(transposed_convolution), second(plain), strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-3, atol=1e-3)


def convolutions(traced, platform):
    """The windows of all convolutions of a program for a platform, sorted."""
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    lines = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    return sorted(line.split("window")[1].split("}")[0] for line in lines)


def derivatives(operation, *operands):
    """A traced program of an operation's value and gradients."""
    y = jax.eval_shape(operation, *operands)
    cotangent = jnp.ones(y.shape, y.dtype)
    return jax.jit(lambda *operands: jax.vjp(operation, *operands)[1](cotangent)).trace(*operands)


def test_other_platforms_get_the_plain_transposed_convolution():
    x, kernel, _, _ = operands(4)
    mine, reference = derivatives(transposed_convolution, x, kernel), derivatives(plain, x, kernel)
    for platform in ("tpu", "cuda"):
        assert convolutions(mine, platform) == convolutions(reference, platform)
    # The zeros between the pixels that XLA's form has (lhs), and its weight gradient with them, are nowhere.
    assert not any("lhs_dilate = [2" in window for window in convolutions(mine, "cpu"))
    assert any("lhs_dilate = [2" in window for window in convolutions(reference, "cpu"))


def test_a_transposed_convolution_computes_in_bfloat16():
    x, kernel, cotangent, _ = operands(4, jnp.bfloat16)
    wide = [a.astype(jnp.float32) for a in (x, kernel)]
    y, pullback = jax.vjp(transposed_convolution, x, kernel)
    y_wide, pullback_wide = jax.vjp(plain, *wide)
    got = (y, *pullback(cotangent))
    expected = (y_wide, *pullback_wide(cotangent.astype(jnp.float32)))
    for value, reference in zip(got, expected, strict=True):
        assert value.dtype == jnp.bfloat16
        np.testing.assert_allclose(value.astype(jnp.float32), reference, rtol=0.05, atol=0.1)


def test_a_transposed_convolution_refuses_a_kernel_smaller_than_the_stride():
    with pytest.raises(ValueError, match="at least 2x2"):
        transposed_convolution(jnp.zeros((1, 2, 2, 1)), jnp.zeros((1, 1, 1, 1)))


def images(height, width, inputs, outputs, taps, dtype=jnp.float32):
    x, w = jax.random.split(jax.random.key(3))
    return jax.random.normal(x, (3, height, width, inputs), dtype), jax.random.normal(
        w, (taps, taps, inputs, outputs), dtype
    )


def value_and_gradients(operation, x, kernel):
    """Of an operation, the gradients those of a random direction; compiled as one program, which is quicker."""

    @jax.jit
    def all_three(x, kernel):
        value, pull = jax.vjp(operation, x, kernel)
        return value, *pull(jax.random.normal(jax.random.key(4), value.shape))

    return all_three(x, kernel)


def assert_close(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)
    for gradient, reference in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-4, atol=2e-4)


PADDINGS = [(1, 1, (0, 0)), (3, 1, (1, 1)), (3, 2, (0, 1)), (4, 2, (1, 1)), (5, 2, (1, 2)), (1, 2, (0, 0))]


@pytest.mark.parametrize(("taps", "stride", "excess"), PADDINGS)
def test_padding_is_xlas(taps, stride, excess):
    assert same_padding(taps, stride) == excess
    assert jax.lax.padtype_to_pads((8,), (taps,), (stride,), "SAME") == [excess]


SHAPES = [
    (3, 1, 8, 8),
    (3, 1, 5, 9),
    (3, 2, 8, 4),
    (4, 2, 8, 12),
    (2, 2, 4, 4),
    (5, 2, 8, 8),
    (4, 2, 7, 8),
    (1, 1, 3, 3),
]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("taps", "stride", "height", "width"), SHAPES)
def test_a_convolution_has_the_value_and_the_gradients_of_the_plain_one(taps, stride, height, width):
    x, kernel = images(height, width, 4, 6, taps)
    found = value_and_gradients(lambda *operands: convolution(*operands, stride), x, kernel)
    expected = value_and_gradients(lambda *operands: plain_convolution(*operands, stride), x, kernel)
    assert_close(found, expected)


NARROW = [(2, 1, 6), (3, 4, 6), (5, 3, 6), (2, 6, 4), (3, 6, 1), (5, 6, 3), (3, 3, 3)]


@pytest.mark.parametrize(("taps", "inputs", "outputs"), [*NARROW, (1, 6, 8), (1, 1, 6)])
def test_a_convolution_of_few_channels_or_of_single_pixels_is_one_matrix_product(taps, inputs, outputs):
    x, kernel = images(7, 9, inputs, outputs, taps)
    expected = value_and_gradients(lambda *operands: plain_convolution(*operands, 1), x, kernel)
    assert_close(value_and_gradients(convolution, x, kernel), expected)
    assert not convolutions(derivatives(convolution, x, kernel), "cpu")
    assert len(convolutions(derivatives(convolution, x, kernel), "tpu")) == 2


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("taps", "stride"), [(1, 1), (3, 1), (3, 2), (4, 2)])
def test_a_convolution_has_the_second_derivatives_of_the_plain_one(taps, stride):
    x, kernel = images(8, 8, 3, 4, taps)
    direction = jax.random.normal(jax.random.key(5), kernel.shape)

    def second(operation):
        def slope(x, kernel):
            gradients = jax.grad(lambda *p: jnp.sum(jnp.sin(operation(*p, stride))), (0, 1))(x, kernel)
            return jnp.sum(gradients[0] ** 2) + jnp.sum(gradients[1] * direction)

        return jax.jit(jax.grad(slope, (0, 1)))(x, kernel)

    for gradient, reference in zip(second(convolution), second(plain_convolution), strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-3, atol=1e-3 * float(jnp.abs(reference).max()))


@pytest.mark.parametrize(("taps", "stride"), [(1, 1), (3, 1), (3, 2), (4, 2)])
def test_other_platforms_get_the_plain_convolution(taps, stride):
    x, kernel = jnp.zeros((64, 16, 16, 64)), jnp.zeros((taps, taps, 64, 64))
    mine = derivatives(lambda *operands: convolution(*operands, stride), x, kernel)
    reference = derivatives(lambda *operands: plain_convolution(*operands, stride), x, kernel)
    for platform in ("tpu", "cuda"):
        assert convolutions(mine, platform) == convolutions(reference, platform)
    assert convolutions(mine, "cpu") != convolutions(reference, "cpu")


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("taps", [2, 3, 4, 6])
def test_a_transposed_convolution_in_every_form_has_the_value_and_the_gradients_of_the_plain_one(taps):
    x, kernel = images(4, 5, 4, 6, taps)
    assert_close(value_and_gradients(transposed_convolution, x, kernel), value_and_gradients(plain, x, kernel))


FORMS = [
    (64 * 8 * 8, (4, 4, 64, 128), WINOGRAD),
    (64 * 8 * 8, (6, 6, 64, 128), WINOGRAD),
    (4 * 8 * 8, (4, 4, 32, 64), WINDOWS),
    (64 * 16 * 16, (4, 4, 1, 64), WINDOWS),
    (64 * 8 * 8, (2, 2, 256, 256), WINDOWS),
    (64 * 8 * 8, (8, 8, 64, 128), WINDOWS),
    (64 * 8 * 8, (3, 3, 64, 128), PIXELS),
]


@pytest.mark.parametrize(("outputs", "shape", "form"), FORMS)
def test_a_convolution_of_stride_2_has_the_form_that_pays(outputs, shape, form):
    assert convolution_file.form_of_stride_2(outputs, jnp.zeros(shape)) is form


SMALL, BETWEEN, ROUNDED = (1, 8, 8, 64), (512, 32, 32, 8), (64, 32, 32, 64)


@pytest.mark.parametrize(("shape", "dtype"), [(SMALL, jnp.float32), (BETWEEN, jnp.float32), (ROUNDED, jnp.bfloat16)])
def test_what_is_small_rounded_or_neither_wide_nor_narrow_stays_plain(shape, dtype):
    x = jnp.zeros(shape, dtype)
    kernel = jnp.zeros((3, 3, shape[-1], 64), dtype)
    assert len(convolutions(derivatives(convolution, x, kernel), "cpu")) == 2
    assert not convolutions(derivatives(convolution, jnp.zeros((64, 32, 32, 64)), jnp.zeros((3, 3, 64, 64))), "cpu")


def directions(*operands):
    keys = jax.random.split(jax.random.key(6), len(operands))
    return tuple(jax.random.normal(key, operand.shape) for key, operand in zip(keys, operands, strict=True))


def value_and_tangents(operation, *operands):
    """Of an operation: its value and its tangents along both operands, along the first and along the second."""
    x, kernel = operands
    along_x, along_kernel = directions(*operands)

    @jax.jit
    def all_four(x, kernel):
        value, tangent = jax.jvp(operation, (x, kernel), (along_x, along_kernel))
        first = jax.jvp(lambda x: operation(x, kernel), (x,), (along_x,))[1]
        return value, tangent, first, jax.jvp(lambda kernel: operation(x, kernel), (kernel,), (along_kernel,))[1]

    return all_four(x, kernel)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("taps", "stride", "height", "width"), SHAPES)
def test_a_convolution_has_the_tangents_of_the_plain_one(taps, stride, height, width):
    operands = images(height, width, 4, 6, taps)
    found = value_and_tangents(lambda *operands: convolution(*operands, stride), *operands)
    assert_close(found, value_and_tangents(lambda *operands: plain_convolution(*operands, stride), *operands))


@pytest.mark.parametrize(("taps", "inputs", "outputs"), NARROW)
def test_a_convolution_of_few_channels_has_the_tangents_of_the_plain_one(taps, inputs, outputs):
    operands = images(7, 9, inputs, outputs, taps)
    expected = value_and_tangents(lambda *operands: plain_convolution(*operands, 1), *operands)
    assert_close(value_and_tangents(convolution, *operands), expected)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("taps", [2, 3, 4, 5, 6])
def test_a_transposed_convolution_has_the_tangents_of_the_plain_one(taps):
    operands = images(4, 5, 4, 6, taps)
    assert_close(value_and_tangents(transposed_convolution, *operands), value_and_tangents(plain, *operands))


def forward(function, along):
    return lambda *operands: jax.jvp(function, operands, along)[1]


def reverse(function, along):
    def slope(*operands):
        gradients = jax.grad(function, (0, 1))(*operands)
        return sum(jnp.vdot(gradient, direction) for gradient, direction in zip(gradients, along, strict=True))

    return slope


def second_derivative(operation, operands, outer, inner):
    """Of a sum of sines, twice along one direction."""
    along = directions(*operands)

    def value(*operands):
        return jnp.sum(jnp.sin(operation(*operands)))

    return jax.jit(outer(inner(value, along), along))(*operands)


FORMS_OF_TWO_MODES = [(1, 1, convolution), (3, 1, convolution), (4, 2, convolution), (4, 2, transposed_convolution)]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("outer", "inner"), [(forward, reverse), (reverse, forward)])
@pytest.mark.parametrize(("taps", "stride", "operation"), FORMS_OF_TWO_MODES)
def test_each_mode_differentiates_the_other(taps, stride, operation, outer, inner):
    operands = images(2, 4, 3, 4, taps)
    if operation is transposed_convolution:
        reference = plain
    else:
        operation, reference = (functools.partial(f, stride=stride) for f in (operation, plain_convolution))
    found = second_derivative(operation, operands, outer, inner)
    np.testing.assert_allclose(found, second_derivative(reference, operands, forward, forward), rtol=1e-3)


@pytest.mark.parametrize(("taps", "stride"), [(1, 1), (3, 1), (3, 2), (4, 2)])
def test_other_platforms_get_the_plain_convolution_in_forward_mode(taps, stride):
    x, kernel = jnp.zeros((64, 16, 16, 64)), jnp.zeros((taps, taps, 64, 64))

    def windows(operation, platform):
        def tangent(x, kernel):
            return jax.jvp(lambda *operands: operation(*operands, stride), (x, kernel), (x, kernel))

        return set(convolutions(jax.jit(tangent).trace(x, kernel), platform))

    for platform in ("tpu", "cuda"):
        assert windows(convolution, platform) == windows(plain_convolution, platform)
    # A kernel of 3x3 and stride 2 has a form of its own in reverse mode alone.
    assert (windows(convolution, "cpu") != windows(plain_convolution, "cpu")) == ((taps, stride) != (3, 2))


def test_a_convolution_is_mapped_in_both_modes():
    x, kernel = images(6, 6, 3, 6, 3)
    many, along = x[:, None], directions(x)[0][:, None]

    def tangents(operation):
        return jax.vmap(lambda x, t: jax.jvp(lambda x: operation(x, kernel), (x,), (t,))[1])(many, along)

    def gradient(operation):
        return jax.grad(lambda k: jnp.sum(jnp.sin(jax.vmap(lambda x: operation(x, k))(many))))(kernel)

    for derivative in (tangents, gradient):
        expected = derivative(lambda *operands: plain_convolution(*operands, 1))
        np.testing.assert_allclose(derivative(convolution), expected, rtol=1e-4, atol=2e-4)
