import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import mean_per_example, sum_per_example


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 4, 4, 2)])
def test_reductions_keep_the_batch_and_nothing_else(shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    flat = values.reshape(3, -1)
    np.testing.assert_allclose(sum_per_example(jnp.asarray(values)), flat.sum(1), rtol=1e-5)
    np.testing.assert_allclose(mean_per_example(jnp.asarray(values)), flat.mean(1), rtol=1e-5)
