import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.kernels.unfolded import folded, unfolded

FORMS = [(1, 1, (0, 0)), (3, 1, (1, 1)), (3, 1, (0, 2)), (5, 1, (2, 2)), (2, 2, (0, 0)), (4, 2, (1, 1)), (6, 2, (1, 3))]


def operands(taps, stride):
    x, k, y = jax.random.split(jax.random.key(0), 3)
    return (
        jax.random.normal(x, (2, 3 * stride, 4 * stride, 3)),
        jax.random.normal(k, (taps, taps, 3, 5)),
        jax.random.normal(y, (2, 3, 4, 5)),
    )


@pytest.mark.parametrize(("taps", "stride", "padding"), FORMS)
def test_every_output_is_the_sum_over_its_window(taps, stride, padding):
    x, kernel, y = operands(taps, stride)
    padded = np.pad(np.asarray(x), ((0, 0), padding, padding, (0, 0)))
    expected = np.zeros(y.shape)
    for row, column in np.ndindex(y.shape[1:3]):
        window = padded[:, stride * row : stride * row + taps, stride * column : stride * column + taps]
        expected[:, row, column] = np.einsum("bhwi,hwio->bo", window, kernel)
    np.testing.assert_allclose(unfolded(x, kernel, stride, padding), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("taps", "stride", "padding"), FORMS)
def test_the_two_are_adjoint(taps, stride, padding):
    x, kernel, y = operands(taps, stride)
    # A linear function's adjoint is found pixel by pixel, not by one product of vectors that could agree by chance.
    expected = jax.vjp(lambda x: unfolded(x, kernel, stride, padding), x)[1](y)[0]
    np.testing.assert_allclose(folded(y, kernel, stride, padding), expected, rtol=1e-4, atol=1e-4)


def test_what_is_folded_from_bfloat16_is_rounded_once():
    _, kernel, y = (operand.astype(jnp.bfloat16) for operand in operands(4, 2))
    found = folded(y, kernel, 2, (1, 1))
    wide = folded(y.astype(jnp.float32), kernel.astype(jnp.float32), 2, (1, 1))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, wide.astype(jnp.bfloat16))
