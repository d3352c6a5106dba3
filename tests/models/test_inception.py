"""Inception-v3: shapes and counts without computing anything, and numbers of its parts by brute force.

The whole is compared with the PyTorch reference in tests/metrics/test_inception.py and test_inception_parity.py.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models.inception import ConvBlock, InceptionB, InceptionV3, average_pool, max_pool


@functools.cache
def variables_of():
    return jax.eval_shape(InceptionV3().init, jax.random.key(0), jnp.zeros((1, 299, 299, 3)))


def size_of(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_features_and_logits_have_their_shapes():
    images = jax.ShapeDtypeStruct((2, 299, 299, 3), jnp.float32)
    features, logits = jax.eval_shape(InceptionV3().apply, variables_of(), images)
    assert (features.shape, features.dtype) == ((2, 2048), jnp.float32)
    assert (logits.shape, logits.dtype) == ((2, 1008), jnp.float32)


def test_sizes_within_are_those_of_the_paper():
    # Table 1 of arXiv 1512.00567; its rows for 149 and 147 are convolutions.
    blocks = {"Conv2d_4a_3x3": (71, 192), "Mixed_5d": (35, 288), "Mixed_6e": (17, 768), "Mixed_7c": (8, 2048)}
    images = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)

    def outputs(variables, x):
        return InceptionV3().apply(variables, x, capture_intermediates=True, mutable=["intermediates"])[1]

    found = jax.eval_shape(outputs, variables_of(), images)["intermediates"]
    assert {name: found[name]["__call__"][0].shape for name in blocks} == {
        name: (1, side, side, channels) for name, (side, channels) in blocks.items()
    }


def test_number_of_parameters_is_that_of_keras():
    # Keras' InceptionV3 has 23,817,352 parameters with 1,000 classes and without scales of its 17,216 normed channels.
    variables = variables_of()
    assert size_of(variables["params"]) == 23_817_352 + 17_216 + 8 * (2048 + 1) == 23_850_960
    assert size_of(variables["batch_stats"]) == 2 * 17_216


def test_kernels_are_where_the_weight_files_have_them():
    params = variables_of()["params"]
    assert len(params) == 17
    assert params["Mixed_5b"]["branch_pool"]["conv"]["kernel"].shape == (1, 1, 192, 32)
    assert params["Mixed_6c"]["branch7x7_2"]["conv"]["kernel"].shape == (1, 7, 160, 160)
    assert params["Mixed_6c"]["branch7x7dbl_2"]["conv"]["kernel"].shape == (7, 1, 160, 160)
    assert params["Mixed_7c"]["branch3x3dbl_3b"]["conv"]["kernel"].shape == (3, 1, 384, 384)
    assert params["fc"]["kernel"].shape == (2048, 1008)


def padded_windows(x: np.ndarray, height: int, width: int, stride: int, padding: tuple[int, int], fill: float):
    """Yields (row, column, window): the windows of x (batch, height, width, channels), padded with `fill`."""
    around = ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0))
    x = np.pad(x, around, constant_values=fill)
    rows, columns = (x.shape[1] - height) // stride + 1, (x.shape[2] - width) // stride + 1
    for row, column in itertools.product(range(rows), range(columns)):
        top, left = row * stride, column * stride
        yield row, column, x[:, top : top + height, left : left + width]


def test_average_pool_leaves_out_the_padding():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
    expected = np.zeros_like(x)
    for row, column, window in padded_windows(x, 3, 3, 1, (1, 1), np.nan):
        expected[:, row, column] = np.nanmean(window, axis=(1, 2))
    np.testing.assert_allclose(average_pool(jnp.asarray(x)), expected, atol=1e-6)
    # What it would be otherwise: a constant image stays constant only if the padding does not count.
    np.testing.assert_allclose(average_pool(jnp.ones((1, 3, 3, 1))), 1)


def test_max_pool_does_not_see_the_padding():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32) - 5
    expected = np.zeros_like(x)
    for row, column, window in padded_windows(x, 3, 3, 1, (1, 1), -np.inf):
        expected[:, row, column] = window.max(axis=(1, 2))
    np.testing.assert_array_equal(max_pool(jnp.asarray(x)), expected)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "pixels"),
    [((1, 7), 1, "SAME", (0, 3)), ((5, 5), 1, "SAME", (2, 2)), ((3, 3), 2, "VALID", (0, 0))],
)
def test_conv_block_is_convolution_norm_by_stored_statistics_and_relu(kernel, stride, padding, pixels):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 9, 3)).astype(np.float32)
    weights = rng.normal(size=(*kernel, 3, 4)).astype(np.float32)
    scale, bias, mean = rng.normal(size=(3, 4)).astype(np.float32)
    # So small that the epsilon of 1e-3 tells.
    var = rng.uniform(1e-3, 1, size=4).astype(np.float32)
    variables = {
        "params": {"conv": {"kernel": weights}, "bn": {"scale": scale, "bias": bias}},
        "batch_stats": {"bn": {"mean": mean, "var": var}},
    }
    found = ConvBlock(4, kernel, stride, padding).apply(variables, jnp.asarray(x))

    windows = list(padded_windows(x, *kernel, stride, pixels, 0))
    convolved = np.zeros((2, windows[-1][0] + 1, windows[-1][1] + 1, 4))
    for row, column, window in windows:
        convolved[:, row, column] = np.einsum("bhwi,hwio->bo", window, weights)
    expected = np.maximum((convolved - mean) / np.sqrt(var + 1e-3) * scale + bias, 0)
    assert 0.2 < (expected > 0).mean() < 0.8
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def shape_of_block(block, shape: tuple[int, ...]) -> tuple[int, ...]:
    return jax.eval_shape(block.init_with_output, jax.random.key(0), jnp.zeros(shape))[0].shape


@pytest.mark.parametrize(("size", "halved"), [(35, 17), (36, 17), (8, 3)])
def test_blocks_that_halve_pad_nothing(size, halved):
    assert shape_of_block(InceptionB(), (1, size, size, 288)) == (1, halved, halved, 768)
