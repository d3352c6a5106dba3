import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.kernels.product import product

SHAPES = [(7, 5), (5, 7), (6, 6), (8, 1)]


def operands(inputs, outputs):
    x, kernel, cotangent = jax.random.split(jax.random.key(0), 3)
    return (
        jax.random.normal(x, (2, 3, inputs)),
        jax.random.normal(kernel, (inputs, outputs)),
        jax.random.normal(cotangent, (2, 3, outputs)),
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_product_and_has_its_gradients(shape):
    x, kernel, cotangent = operands(*shape)
    y, pull = jax.vjp(product, x, kernel)
    along_x, along_kernel = pull(cotangent)
    np.testing.assert_allclose(y, np.asarray(x) @ np.asarray(kernel), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(along_x, np.einsum("abo,io->abi", cotangent, kernel), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(along_kernel, np.einsum("abi,abo->io", x, cotangent), rtol=1e-5, atol=1e-5)


def test_its_second_derivatives_are_those_of_the_product():
    x, kernel, cotangent = operands(7, 5)

    def second(operation):
        def slope(x, kernel):
            # The sine makes the mixed derivatives differ from zero.
            along_x, along_kernel = jax.grad(lambda *p: jnp.sum(jnp.sin(operation(*p)) * cotangent), (0, 1))(x, kernel)
            return jnp.sum(along_x**2) + jnp.sum(along_kernel**3)

        return jax.grad(slope, (0, 1))(x, kernel)

    for found, expected in zip(second(product), second(jnp.matmul), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_has_the_tangents_of_the_product(shape):
    x, kernel, _ = operands(*shape)
    value, tangent = jax.jvp(product, (x, kernel), (jnp.cos(x), jnp.cos(kernel)))
    expected = np.asarray(jnp.cos(x)) @ np.asarray(kernel) + np.asarray(x) @ np.cos(kernel)
    np.testing.assert_allclose(value, np.asarray(x) @ np.asarray(kernel), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(tangent, expected, rtol=1e-5, atol=1e-5)


def products(shape, platform):
    """The types of what is multiplied out in the program of a kernel's gradient."""
    x, kernel, cotangent = operands(*shape)
    traced = jax.jit(lambda kernel: jax.vjp(lambda k: product(x, k), kernel)[1](cotangent)[0]).trace(kernel)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    return [line.rpartition("-> ")[2] for line in text.splitlines() if "stablehlo.dot_general" in line]


def test_on_a_cpu_alone_the_gradient_of_many_inputs_is_computed_transposed():
    assert products((7, 5), "cpu") == ["tensor<5x7xf32>"]
    assert products((7, 5), "tpu") == ["tensor<7x5xf32>"]


def test_a_kernel_of_more_outputs_than_inputs_is_left_to_jax():
    assert "custom" not in str(jax.make_jaxpr(product)(*operands(5, 7)[:2]))


def test_the_factors_stay_in_that_order_when_xla_optimises():
    # XLA exchanges the factors of a product whose transpose alone is used, unless there is a barrier between the two.
    x, _, cotangent = operands(7, 5)
    program = jax.jit(lambda x, c: jax.vjp(lambda k: product(x, k), jnp.zeros((7, 5)))[1](c)[0]).lower(x, cotangent)
    compiled = program.compile(compiler_options={"xla_backend_optimization_level": 3}).as_text()
    assert "f32[5,7]" in compiled
