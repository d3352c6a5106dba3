import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import DCGANDiscriminator, DCGANGenerator


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def shapes(module, x):
    return jax.eval_shape(functools.partial(module.init_with_output, train=True), jax.random.key(0), x)


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 3), (28, 28, 1), (32, 32, 3), (64, 64, 3), (128, 128, 1)])
def test_images_of_every_supported_size_and_one_logit_for_each(shape):
    images, _ = shapes(DCGANGenerator(shape, 2), jnp.ones((3, 5)))
    assert images.shape == (3, *shape)
    logits, _ = shapes(DCGANDiscriminator(2), jnp.ones((3, *shape)))
    assert logits.shape == (3,)


@pytest.mark.parametrize("shape", [(30, 30, 1), (4, 4, 1), (32, 16, 3)])
def test_other_sizes_are_refused(shape):
    with pytest.raises(ValueError, match="power of two"):
        shapes(DCGANGenerator(shape), jnp.ones((1, 5)))
    with pytest.raises(ValueError, match="power of two"):
        shapes(DCGANDiscriminator(), jnp.ones((1, *shape)))


def test_parameters_at_64x64_by_hand():
    norms = 512 + 256 + 128 + 64
    kernels = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    _, generator = shapes(DCGANGenerator((64, 64, 3)), jnp.ones((1, 100)))
    assert count(generator) == kernels + 2 * norms + 3 == 3_576_707
    norms = 128 + 256 + 512
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    _, discriminator = shapes(DCGANDiscriminator(), jnp.ones((1, 64, 64, 3)))
    assert count(discriminator) == kernels + 2 * norms + 64 + 1 == 2_765_633


@pytest.mark.parametrize(
    ("module", "x"),
    [(DCGANGenerator((8, 8, 1), 16), jnp.ones((2, 30))), (DCGANDiscriminator(8), jnp.ones((2, 8, 8, 1)))],
)
def test_weights_start_from_a_normal_of_standard_deviation_002(module, x):
    init = jax.jit(lambda key: module.init(key, x, train=True)["params"])
    kernels = [params["kernel"] for params in init(jax.random.key(0)).values() if "kernel" in params]
    assert len(kernels) >= 2
    for kernel in kernels:
        np.testing.assert_allclose(kernel.std(), 0.02, rtol=4 / np.sqrt(2 * kernel.size))  # four standard errors


def apply(module, train):
    return jax.jit(functools.partial(module.apply, train=train, mutable=["batch_stats"]))


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (DCGANGenerator((16, 16, 1), 2), jax.random.normal(jax.random.key(3), (6, 5))),
        (DCGANDiscriminator(2), jax.random.normal(jax.random.key(3), (6, 16, 16, 1))),
    ],
)
def test_batch_statistics_move_in_training_only(module, x, random_variables):
    variables = random_variables(module, x, train=False)
    out, still = apply(module, train=False)(variables, x)
    jax.tree.map(np.testing.assert_array_equal, still["batch_stats"], variables["batch_stats"])
    _, moved = apply(module, train=True)(variables, x)
    for before, after in zip(*map(jax.tree.leaves, (variables["batch_stats"], moved["batch_stats"])), strict=True):
        assert not np.allclose(before, after)
    changed, _ = apply(module, train=False)(variables, x.at[2:].set(3.0))
    np.testing.assert_allclose(changed[:2], out[:2], rtol=1e-4, atol=1e-6)


def test_generated_images_are_float32_in_the_range_of_tanh(random_variables):
    z = 10 * jax.random.normal(jax.random.key(0), (8, 4))
    module = DCGANGenerator((8, 8, 1), 4, jnp.bfloat16)
    images, _ = apply(module, train=True)(random_variables(module, z, train=True, scale=3.0), z)
    assert images.dtype == jnp.float32
    np.testing.assert_allclose([images.min(), images.max()], [-1, 1], atol=1e-3)


def norm(variables, name, h):
    statistics, params = variables["batch_stats"][name], variables["params"][name]
    whitened = (h - statistics["mean"].reshape(1, 1, 1, -1)) / jnp.sqrt(statistics["var"] + 1e-5).reshape(1, 1, 1, -1)
    return whitened * params["scale"].reshape(1, 1, 1, -1) + params["bias"].reshape(1, 1, 1, -1)


def test_generator_agrees_with_its_layers_written_out(random_variables):
    module = DCGANGenerator((16, 16, 1), 2)
    z = jax.random.normal(jax.random.key(0), (3, 5))
    variables = random_variables(module, z, train=False)
    params = variables["params"]

    @jax.jit
    def written_out(z):
        h = (z @ params["Dense_0"]["kernel"]).reshape(3, 4, 4, 4)
        h = jnp.maximum(norm(variables, "BatchNorm_0", h), 0)
        h = jax.lax.conv_transpose(h, params["ConvTranspose_0"]["kernel"], (2, 2), "SAME")
        h = jnp.maximum(norm(variables, "BatchNorm_1", h), 0)
        h = jax.lax.conv_transpose(h, params["ConvTranspose_1"]["kernel"], (2, 2), "SAME")
        return jnp.tanh(h + params["ConvTranspose_1"]["bias"].reshape(1, 1, 1, 1))

    np.testing.assert_allclose(apply(module, train=False)(variables, z)[0], written_out(z), rtol=1e-4, atol=1e-5)


def test_discriminator_agrees_with_its_layers_written_out(random_variables):
    module = DCGANDiscriminator(2)
    x = jax.random.normal(jax.random.key(0), (3, 16, 16, 1))
    variables = random_variables(module, x, train=False)
    params = variables["params"]

    def conv(h, name):
        pads = ((1, 1), (1, 1))
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(h, params[name]["kernel"], (2, 2), pads, dimension_numbers=layout)

    def leaky(h):
        return jnp.where(h > 0, h, 0.2 * h)

    @jax.jit
    def written_out(x):
        h = leaky(conv(x, "Conv_0") + params["Conv_0"]["bias"].reshape(1, 1, 1, -1))
        h = leaky(norm(variables, "BatchNorm_0", conv(h, "Conv_1")))
        return (h.reshape(3, -1) @ params["Dense_0"]["kernel"])[:, 0] + params["Dense_0"]["bias"]

    np.testing.assert_allclose(apply(module, train=False)(variables, x)[0], written_out(x), rtol=1e-4, atol=1e-4)
