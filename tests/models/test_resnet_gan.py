import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import ResNetCritic, ResNetGenerator


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def generator_shapes(module, z):
    return jax.eval_shape(functools.partial(module.init_with_output, train=True), jax.random.key(0), z)


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 3), (32, 32, 3), (64, 64, 3)])
def test_images_of_every_supported_size_and_one_score_for_each(shape):
    images, _ = generator_shapes(ResNetGenerator(shape, 2), jnp.ones((3, 5)))
    assert images.shape == (3, *shape)
    scores, _ = jax.eval_shape(ResNetCritic(2).init_with_output, jax.random.key(0), jnp.ones((3, *shape)))
    assert scores.shape == (3,)


@pytest.mark.parametrize("shape", [(30, 30, 1), (4, 4, 1), (32, 16, 3)])
def test_other_sizes_are_refused(shape):
    with pytest.raises(ValueError, match="power of two"):
        generator_shapes(ResNetGenerator(shape), jnp.ones((1, 5)))
    with pytest.raises(ValueError, match="power of two"):
        jax.eval_shape(ResNetCritic().init, jax.random.key(0), jnp.ones((1, *shape)))


CONV3X3 = 9 * 128 * 128 + 128
CONV1X1 = 128 * 128 + 128
NORM = 2 * 128


def test_generator_parameters_of_the_published_configuration_by_hand():
    up_block = 2 * NORM + 2 * CONV3X3 + CONV1X1
    by_hand = (128 + 1) * 16 * 128 + 3 * up_block + NORM + (9 * 128 * 3 + 3)
    _, variables = generator_shapes(ResNetGenerator((32, 32, 3)), jnp.ones((1, 128)))
    assert count(variables) == by_hand == 1_204_483


def test_critic_parameters_of_the_published_configuration_by_hand():
    first_block = (9 * 3 * 128 + 128) + CONV3X3 + (3 * 128 + 128)
    by_hand = first_block + (2 * CONV3X3 + CONV1X1) + 2 * (2 * CONV3X3) + (128 + 1)
    variables = jax.eval_shape(ResNetCritic().init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
    assert count(variables) == by_hand == 1_053_825


@pytest.fixture(scope="module")
def critic(random_variables):
    x = jax.random.normal(jax.random.key(0), (6, 8, 8, 3))
    return random_variables(ResNetCritic(4), x), jax.jit(ResNetCritic(4).apply), x


def test_critic_scores_each_example_by_itself(critic):
    variables, score, x = critic
    assert set(variables) == {"params"}
    scores = score(variables, x)
    assert np.std(scores) > 0.01
    order = np.array([3, 1, 5, 0, 2, 4])
    np.testing.assert_allclose(score(variables, x[order]), scores[order], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(score(variables, x.at[1:].set(7.0))[0], scores[0], rtol=1e-4, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: score(variables, x)[0]))(x)
    np.testing.assert_array_equal(gradient[1:], jnp.zeros_like(gradient[1:]))


def test_first_block_of_the_critic_sees_the_pixels_without_a_relu(critic):
    variables, score, x = critic
    assert np.std(score(variables, -jnp.abs(x))) > 0.01  # a ReLU would have erased all of these images


def conv(params, h):
    size = params["kernel"].shape[0]
    padded = np.pad(h, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    out = sum(
        padded[:, i : i + h.shape[1], j : j + h.shape[2]] @ np.asarray(params["kernel"][i, j])
        for i in range(size)
        for j in range(size)
    )
    return out + np.asarray(params["bias"])


def halved(h):
    return (h[:, ::2, ::2] + h[:, 1::2, ::2] + h[:, ::2, 1::2] + h[:, 1::2, 1::2]) / 4


def doubled(h):
    return np.kron(h, np.ones((1, 2, 2, 1)))


def relu(h):
    return np.maximum(h, 0)


def norm(params, statistics, h):
    mean, var, scale, bias = map(np.asarray, (statistics["mean"], statistics["var"], params["scale"], params["bias"]))
    return (h - mean) / np.sqrt(var + 1e-5) * scale + bias


def test_critic_agrees_with_its_blocks_written_out(critic):
    variables, score, x = critic
    params = variables["params"]
    first, down, last = params["FirstDownBlock_0"], params["DownBlock_0"], params["Dense_0"]
    h = np.asarray(x, np.float64)
    h = halved(conv(first["Conv_1"], relu(conv(first["Conv_0"], h)))) + conv(first["Conv_2"], halved(h))
    h = halved(conv(down["Conv_1"], relu(conv(down["Conv_0"], relu(h))))) + halved(conv(down["Conv_2"], h))
    for name in ("Block_0", "Block_1"):
        h = conv(params[name]["Conv_1"], relu(conv(params[name]["Conv_0"], relu(h)))) + h
    expected = relu(h).mean((1, 2)) @ np.asarray(last["kernel"])[:, 0] + np.asarray(last["bias"])[0]
    np.testing.assert_allclose(score(variables, x), expected, rtol=1e-3, atol=1e-4)


def test_generator_agrees_with_its_blocks_written_out(random_variables):
    module = ResNetGenerator((8, 8, 1), 4)
    z = jax.random.normal(jax.random.key(0), (3, 5))
    variables = random_variables(module, z, train=False)
    params, statistics = variables["params"], variables["batch_stats"]
    block, moments = params["UpBlock_0"], statistics["UpBlock_0"]
    linear = params["Dense_0"]
    h = (np.asarray(z, np.float64) @ np.asarray(linear["kernel"]) + np.asarray(linear["bias"])).reshape(3, 4, 4, 4)
    inner = conv(block["Conv_0"], doubled(relu(norm(block["BatchNorm_0"], moments["BatchNorm_0"], h))))
    inner = conv(block["Conv_1"], relu(norm(block["BatchNorm_1"], moments["BatchNorm_1"], inner)))
    h = relu(norm(params["BatchNorm_0"], statistics["BatchNorm_0"], inner + conv(block["Conv_2"], doubled(h))))
    images = jax.jit(functools.partial(module.apply, train=False))(variables, z)
    np.testing.assert_allclose(images, np.tanh(conv(params["Conv_0"], h)), rtol=1e-3, atol=1e-4)


def test_generator_statistics_move_in_training_only(random_variables):
    module = ResNetGenerator((8, 8, 1), 4)
    z = jax.random.normal(jax.random.key(0), (6, 5))
    variables = random_variables(module, z, train=False)
    still_apply, moving_apply = (
        jax.jit(functools.partial(module.apply, train=train, mutable=["batch_stats"])) for train in (False, True)
    )
    images, still = still_apply(variables, z)
    assert jnp.abs(images).max() <= 1
    jax.tree.map(np.testing.assert_array_equal, still["batch_stats"], variables["batch_stats"])
    _, moved = moving_apply(variables, z)
    for before, after in zip(*map(jax.tree.leaves, (variables["batch_stats"], moved["batch_stats"])), strict=True):
        assert not np.allclose(before, after)


def test_blocks_start_with_the_variance_of_the_published_initialization():
    x = jnp.ones((1, 8, 8, 3))
    params = jax.jit(lambda key: ResNetCritic(48).init(key, x)["params"]["DownBlock_0"])(jax.random.key(0))
    std = np.sqrt(4 / (9 * 48 + 9 * 48))
    np.testing.assert_allclose(params["Conv_0"]["kernel"].std(), std, rtol=0.05)
    np.testing.assert_allclose(jnp.abs(params["Conv_0"]["kernel"]).max(), np.sqrt(3) * std, rtol=0.05)
    np.testing.assert_allclose(params["Conv_2"]["kernel"].std(), np.sqrt(2 / (48 + 48)), rtol=0.05)
