import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import Conv, ConvTranspose
from gen_jax.models.layers import mean_pool, upsample_nearest


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("size", "kernel", "stride"), [(6, 3, 1), (6, 3, 2), (8, 4, 2), (7, 4, 2), (5, 1, 1)])
def test_a_convolution_takes_the_parameters_of_flax_and_gives_its_values(size, kernel, stride, use_bias):
    x = jax.random.normal(jax.random.key(1), (2, size, size, 3))
    options = {"use_bias": use_bias, "bias_init": nn.initializers.normal(1.0)}
    flax_module = nn.Conv(5, (kernel, kernel), (stride, stride), **options)
    variables = flax_module.init(jax.random.key(2), x)
    module = Conv(5, kernel, stride, use_bias)
    np.testing.assert_allclose(module.apply(variables, x), flax_module.apply(variables, x), rtol=1e-5, atol=1e-5)
    mine = jax.tree.map(jnp.shape, module.init(jax.random.key(2), x))
    assert mine == jax.tree.map(jnp.shape, dict(variables))


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_transposed_convolution_takes_the_parameters_of_flax_and_gives_its_values(use_bias):
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    flax_module = nn.ConvTranspose(5, (4, 4), (2, 2), use_bias=use_bias, bias_init=nn.initializers.normal(1.0))
    variables = flax_module.init(jax.random.key(2), x)
    module = ConvTranspose(5, use_bias=use_bias)
    np.testing.assert_allclose(module.apply(variables, x), flax_module.apply(variables, x), rtol=1e-5, atol=1e-5)
    own = jax.eval_shape(module.init, jax.random.key(2), x)
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, variables)


def test_the_module_keeps_float32_parameters_in_bfloat16():
    module = ConvTranspose(5, dtype=jnp.bfloat16)
    x = jnp.ones((1, 2, 2, 3))
    variables = module.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert module.apply(variables, x).dtype == jnp.bfloat16


def test_mean_pool_and_upsampling_by_hand():
    x = jnp.arange(8.0).reshape(1, 2, 4, 1)
    np.testing.assert_allclose(mean_pool(x)[0, :, :, 0], [[2.5, 4.5]])
    np.testing.assert_allclose(upsample_nearest(x)[0, :2, :, 0], [[0, 0, 1, 1, 2, 2, 3, 3]] * 2)
    np.testing.assert_allclose(mean_pool(upsample_nearest(x)), x)
