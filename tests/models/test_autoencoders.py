import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder

SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (4, 5, 2), (7, 30, 1)]
PAIRS = [
    (lambda: MLPEncoder(3, (6,)), lambda shape: MLPDecoder(shape, (6,))),
    (lambda: ConvEncoder(3, 4), lambda shape: ConvDecoder(shape, 4)),
]


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_go_to_the_latent_space_and_back(encoder, decoder, shape):
    key = jax.random.key(0)
    (mean, log_var), _ = jax.eval_shape(encoder().init_with_output, key, jnp.ones((2, *shape)))
    assert mean.shape == log_var.shape == (2, 3)
    logits, _ = jax.eval_shape(decoder(shape).init_with_output, key, mean)
    assert logits.shape == (2, *shape)
    assert mean.dtype == log_var.dtype == logits.dtype == jnp.float32


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_mean_and_log_variance_have_weights_of_their_own_and_follow_the_input(encoder, decoder, random_variables):
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    mean, log_var = jax.jit(encoder().apply)(random_variables(encoder(), x), x)
    assert not np.allclose(mean, log_var)
    assert not np.allclose(mean[0], mean[1])


def test_every_pixel_of_a_cropped_image_depends_on_the_latents(random_variables):
    decoder = ConvDecoder((7, 5, 1), 4)
    z = jax.random.normal(jax.random.key(0), (64, 3))
    images = jax.jit(decoder.apply)(random_variables(decoder, z), z)
    assert (images.std(axis=0) > 0).all()


@pytest.mark.parametrize("shape", [(3, 8, 1), (8, 3, 1)])
def test_images_below_4x4_are_refused(shape):
    with pytest.raises(ValueError, match="at least 4x4"):
        ConvDecoder(shape).init(jax.random.key(0), jnp.ones((1, 2)))
    with pytest.raises(ValueError, match="at least 4x4"):
        ConvEncoder(2).init(jax.random.key(0), jnp.ones((1, *shape)))


@pytest.mark.parametrize("module", [ConvEncoder(3, 4, jnp.bfloat16), MLPEncoder(3, (4,), dtype=jnp.bfloat16)])
def test_bfloat16_keeps_float32_parameters_and_outputs(module):
    (mean, _), variables = jax.eval_shape(module.init_with_output, jax.random.key(0), jnp.ones((2, 8, 8, 1)))
    assert {leaf.dtype for leaf in jax.tree.leaves((mean, variables))} == {jnp.dtype("float32")}
