"""Forward mode through whole networks: J v has to be what reverse mode knows of J, |J v|^2 = <J^T J v, v>."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import (
    ConvDecoder,
    ConvEncoder,
    DCGANDiscriminator,
    DCGANGenerator,
    ResNetCritic,
    ResNetGenerator,
    UNet,
)
from gen_jax.models.group_norm import GroupNorm
from gen_jax.models.layers import Conv, ConvTranspose

KEY = jax.random.key(3)
IMAGES, LATENTS = jax.random.normal(KEY, (2, 8, 8, 2)), jax.random.normal(KEY, (2, 3))
TIMES = jnp.asarray([3.0, 700.0])
MODE, NO_MODE = {"train": False}, {}

NETWORKS = {
    "U-Net": (lambda dtype: UNet(4, (1,), 1, dtype=dtype), (IMAGES[:, :4, :4], TIMES), MODE),
    "DCGAN generator": (lambda dtype: DCGANGenerator((8, 8, 2), 4, dtype), (LATENTS,), MODE),
    "DCGAN discriminator": (lambda dtype: DCGANDiscriminator(4, dtype), (IMAGES,), MODE),
    "residual generator": (lambda dtype: ResNetGenerator((8, 8, 2), width=4, dtype=dtype), (LATENTS,), MODE),
    "residual critic": (lambda dtype: ResNetCritic(width=4, dtype=dtype), (IMAGES,), NO_MODE),
    "encoder": (lambda dtype: ConvEncoder(3, 4, dtype), (IMAGES,), NO_MODE),
    "decoder": (lambda dtype: ConvDecoder((8, 8, 2), 4, dtype), (LATENTS,), NO_MODE),
}


def inner(first, second):
    """The inner product of two trees, in float32."""
    products = jax.tree.map(lambda a, b: jnp.vdot(a.astype(jnp.float32), b.astype(jnp.float32)), first, second)
    return sum(jax.tree.leaves(products))


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-4), (jnp.bfloat16, 5e-2)])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_tangent_of_a_network_is_what_its_gradient_says(name, dtype, tolerance, random_variables):
    make, arguments, mode = NETWORKS[name]
    net = make(dtype)
    variables = random_variables(net, *arguments, **mode)

    @jax.jit
    def lengths(params, x, along):
        def output(params, x):
            return net.apply({**variables, "params": params}, x, *arguments[1:], **mode)

        _, tangent = jax.jvp(output, (params, x), along)
        _, pull = jax.vjp(output, params, x)
        return inner(tangent, tangent), inner(pull(tangent), along)

    params, x = variables["params"], arguments[0]
    forward, reverse = lengths(params, x, (jax.tree.map(jnp.cos, params), jnp.cos(x)))
    assert forward > 0
    np.testing.assert_allclose(forward, reverse, rtol=tolerance)


class Small(nn.Module):
    """A layer of each kind."""

    @nn.compact
    def __call__(self, x):
        x = GroupNorm(2, nn.swish)(Conv(4)(x))
        return ConvTranspose(1)(Conv(4, kernel_size=4, stride=2)(x)).ravel()


def test_both_modes_have_the_same_jacobian(random_variables):
    x = IMAGES[:1, :4, :4]
    variables = random_variables(Small(), x)

    def output(x):
        return jnp.sin(Small().apply(variables, x))

    @jax.jit
    def jacobians(x):
        return jax.jacfwd(output)(x), jax.jacrev(output)(x), jax.linearize(output, x)[1](x)

    by_columns, by_rows, along_x = jacobians(x)
    np.testing.assert_allclose(by_columns, by_rows, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(along_x, np.tensordot(by_rows, x, 4), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_unet_as_large_as_those_in_use_is_differentiated_in_forward_mode(dtype):
    # Large enough for Winograd's form.
    net, x = UNet(64, (1, 2), 1, (16,), dtype=dtype), jnp.zeros((64, 32, 32, 3))
    params = jax.eval_shape(lambda key: net.init(key, x, jnp.zeros(64), train=False), KEY)

    def tangent(params, x):
        return jax.jvp(lambda params, x: net.apply(params, x, jnp.zeros(64), train=False), (params, x), (params, x))

    _, found = jax.eval_shape(tangent, params, x)
    assert (found.shape, found.dtype) == (x.shape, jnp.float32)
