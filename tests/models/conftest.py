import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def random_variables():
    """Variables of a module drawn with numpy: nothing is compiled, and no parameter is zero as some start."""

    def draw(module, *arguments, scale=0.3, **keywords):
        shapes = jax.eval_shape(lambda key: module.init(key, *arguments, **keywords), jax.random.key(0))
        rng = np.random.default_rng(0)
        variables = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(scale=scale, size=leaf.shape), leaf.dtype), shapes)
        # Running variances are not negative.
        statistics = jax.tree.map(jnp.abs, variables.get("batch_stats", {}))
        return {**variables, "batch_stats": statistics} if statistics else variables

    return draw
