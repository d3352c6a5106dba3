import jax
import jax.numpy as jnp
import pytest

from gen_jax.kernels.convolution import convolution, transposed_convolution
from gen_jax.kernels.recorded import recorded_convolutions


def twice(x, kernel):
    return transposed_convolution(convolution(x, kernel, 2), kernel.swapaxes(2, 3))


@pytest.mark.parametrize(
    ("operation", "size", "kernel_shape", "dtype"),
    [
        # One product, few channels on either side, Winograd's form where there are products enough, windows, pixels.
        (convolution, 8, (1, 1, 6, 6), "float32"),
        (convolution, 8, (3, 3, 3, 6), "float32"),
        (convolution, 8, (3, 3, 6, 3), "float32"),
        (convolution, 32, (3, 3, 80, 80), "float32"),
        (convolution, 8, (3, 3, 80, 80), "float32"),
        (convolution, 8, (3, 3, 6, 6), "float32"),
        (convolution, 8, (1, 1, 6, 6), "bfloat16"),
        (lambda x, kernel: convolution(x, kernel, 2), 8, (4, 4, 6, 6), "float32"),
        (lambda x, kernel: convolution(x, kernel, 2), 8, (3, 3, 6, 6), "float32"),
        (lambda x, kernel: convolution(x, kernel, 2), 8, (3, 3, 80, 80), "float32"),
        (lambda x, kernel: convolution(x, kernel, 2), 7, (4, 4, 6, 6), "float32"),
        (transposed_convolution, 8, (4, 4, 6, 6), "float32"),
        (transposed_convolution, 8, (3, 3, 6, 6), "float32"),
        (twice, 8, (4, 4, 6, 6), "float32"),
    ],
)
def test_what_is_recorded_is_whether_xla_convolves_on_a_cpu(operation, size, kernel_shape, dtype):
    x = jax.ShapeDtypeStruct((2, size, size, kernel_shape[2]), dtype)
    kernel = jax.ShapeDtypeStruct(kernel_shape, dtype)
    gradients = jax.jit(jax.grad(lambda x, kernel: operation(x, kernel).astype(jnp.float32).sum(), (0, 1)))
    with recorded_convolutions() as found:
        traced = gradients.trace(x, kernel)
    assert found == {kernel_shape: "stablehlo.convolution" not in traced.lower().as_text()}


def test_one_that_xla_convolves_counts_for_all_of_its_shape():
    kernel = jnp.ones((3, 3, 80, 80))
    with recorded_convolutions() as found:
        for size in (32, 8, 32):
            jax.eval_shape(convolution, jnp.ones((2, size, size, 80)), kernel)
    assert found == {(3, 3, 80, 80): False}


def test_nothing_is_recorded_for_others():
    kernel = jnp.ones((1, 1, 6, 6))
    with recorded_convolutions() as outer:
        with recorded_convolutions() as inner:
            jax.eval_shape(convolution, jnp.ones((2, 8, 8, 6)), kernel)
        assert inner == {(1, 1, 6, 6): True}
    jax.eval_shape(convolution, jnp.ones((2, 8, 8, 6)), kernel)
    assert outer == {}
