import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.methods import warmed_up_decay


@pytest.mark.parametrize(("step", "expected"), [(0, 1 / 10), (8, 9 / 18), (80, 81 / 90), (81, 0.9), (10**6, 0.9)])
def test_decay_grows_from_a_tenth_until_it_reaches_its_value(step, expected):
    np.testing.assert_allclose(warmed_up_decay(0.9)(jnp.int32(step)), expected, rtol=1e-6)


def test_no_decay_keeps_nothing_of_the_past():
    np.testing.assert_array_equal(warmed_up_decay(0.0)(jnp.arange(3)), np.zeros(3))
