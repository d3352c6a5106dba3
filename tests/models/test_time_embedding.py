import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import TimeEmbedding, sinusoidal_embedding


@pytest.mark.parametrize("dim", [4, 8, 128])
def test_sinusoids_agree_with_numpy(dim):
    t = np.array([0, 1, 17, 250, 999])
    expected = np.zeros((5, dim))
    for i in range(dim // 2):
        frequency = 10_000 ** (-i / (dim // 2 - 1))
        expected[:, i] = np.sin(t * frequency)
        expected[:, dim // 2 + i] = np.cos(t * frequency)
    np.testing.assert_allclose(sinusoidal_embedding(jnp.asarray(t), dim), expected, atol=2e-4)


def test_whole_times_are_the_same_as_int_and_as_float():
    t = jnp.array([0, 3, 500])
    np.testing.assert_array_equal(sinusoidal_embedding(t, 8), sinusoidal_embedding(t.astype(jnp.float32), 8))


@pytest.mark.parametrize("dim", [2, 7])
def test_impossible_dimensions_are_refused(dim):
    with pytest.raises(ValueError, match="even dimension"):
        sinusoidal_embedding(jnp.zeros(1), dim)


def test_the_module_is_linear_swish_linear_of_the_sinusoids(random_variables):
    t = jnp.array([0, 5])
    module = TimeEmbedding(4)
    variables = random_variables(module, t)
    first, last = (jax.tree.map(np.asarray, variables["params"][f"Dense_{i}"]) for i in (0, 1))
    hidden = np.asarray(sinusoidal_embedding(t, 4)) @ first["kernel"] + first["bias"]
    expected = hidden / (1 + np.exp(-hidden)) @ last["kernel"] + last["bias"]
    assert expected.shape == (2, 16)
    np.testing.assert_allclose(module.apply(variables, t), expected, rtol=1e-4, atol=1e-6)
