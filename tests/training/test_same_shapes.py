import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.training.same_shapes import over_leaves

SHAPES = [(3,), (2, 2), (3,), (), (40,), (2, 2), (3,), (), (40,), (2, 3)]


@pytest.mark.parametrize("small", [0, 4, 1000])
def test_results_are_those_of_each_leaf_in_its_order(small):
    leaves = [jax.random.normal(jax.random.key(number), shape) for number, shape in enumerate(SHAPES)]
    found = jax.jit(lambda leaves: over_leaves(lambda leaf: jnp.stack([leaf.sum(), leaf.max()]), leaves, small))(leaves)
    expected = [[np.sum(leaf, dtype=np.float64), np.max(leaf)] for leaf in map(np.asarray, leaves)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_equal_shapes_of_other_dtypes_are_kept_apart():
    leaves = [jnp.float32([1.5, 2]), jnp.int32([3, 4]), jnp.float32([5.5, 6])]
    found = over_leaves(lambda leaf: leaf.astype(jnp.float32)[0], leaves)
    assert found.tolist() == [1.5, 3, 5.5]


@pytest.mark.parametrize(("shape", "calls"), [((10,), 1), ((2, 5), 1), ((11,), 5)])
def test_small_leaves_of_one_shape_are_one_call_and_large_ones_are_not_copied(shape, calls):
    program = jax.make_jaxpr(lambda leaves: over_leaves(jnp.sum, leaves, small=10))([jnp.zeros(shape)] * 5)
    assert sum(equation.primitive.name == "jit" for equation in program.eqns) == calls
