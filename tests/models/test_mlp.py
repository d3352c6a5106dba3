import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import MLP


@pytest.mark.parametrize("shape", [(), (3,), (8, 8, 1)])
def test_output_has_the_shape_asked_for(shape):
    x = jnp.ones((2, 4, 4, 3))
    out, _ = jax.eval_shape(MLP((5, 6), shape).init_with_output, jax.random.key(0), x)
    assert out.shape == (2, *shape)


def test_it_is_matrices_with_relu_between(random_variables):
    x = jax.random.normal(jax.random.key(0), (4, 3, 2))
    variables = random_variables(MLP((5,), (2,)), x)
    first, last = (jax.tree.map(np.asarray, variables["params"][f"Dense_{i}"]) for i in (0, 1))
    hidden = np.maximum(np.asarray(x).reshape(4, 6) @ first["kernel"] + first["bias"], 0)
    expected = hidden @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(MLP((5,), (2,)).apply(variables, x), expected, rtol=1e-4, atol=1e-5)


def test_without_hidden_layers_it_is_affine(random_variables):
    x = jax.random.normal(jax.random.key(0), (2, 3))
    model = MLP(())
    variables = random_variables(model, x)
    bias = model.apply(variables, 0 * x)
    doubled = model.apply(variables, 2 * x)
    np.testing.assert_allclose(doubled - bias, 2 * (model.apply(variables, x) - bias), rtol=1e-4, atol=1e-6)


def test_bfloat16_computes_narrow_and_returns_float32(random_variables):
    x = jax.random.normal(jax.random.key(0), (2, 3))
    variables = random_variables(MLP((5,)), x)
    narrow = MLP((5,), dtype=jnp.bfloat16).apply(variables, x)
    assert narrow.dtype == jnp.float32
    np.testing.assert_array_equal(narrow, narrow.astype(jnp.bfloat16).astype(jnp.float32))
