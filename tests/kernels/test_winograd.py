import re
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.kernels import winograd as winograd_file
from gen_jax.kernels.strided import plain_convolution
from gen_jax.kernels.winograd import convolve, kernel_gradient, rounds_of, winograd
from gen_jax.kernels.winograd_transforms import OUTPUTS, transforms


def plain(x, kernel, padding, stride=1):
    return plain_convolution(x, kernel, stride, (padding, padding))


def operands(batch, height, width, inputs, outputs, taps):
    x, kernel = jax.random.split(jax.random.key(0))
    x = jax.random.normal(x, (batch, height, width, inputs))
    return x, jax.random.normal(kernel, (taps, taps, inputs, outputs))


@pytest.mark.parametrize("taps", [1, 2, 3])
def test_the_matrices_filter_a_line_exactly(taps):
    rng = np.random.default_rng(taps)
    line, kernel = rng.normal(size=OUTPUTS + taps - 1), rng.normal(size=taps)
    matrices = transforms(taps)
    filtered = matrices.output @ ((matrices.kernel @ kernel) * (matrices.input @ line))
    np.testing.assert_allclose(filtered, np.correlate(line, kernel, "valid"), rtol=1e-12, atol=1e-12)


def test_the_matrices_of_two_outputs_and_points_0_1_and_minus_1_are_those_of_the_paper():
    # Lavin & Gray, section 4.1; a row of B^T may have the other sign if that of G has it too.
    matrices = transforms(3, outputs=2)
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    b = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    np.testing.assert_array_equal(np.abs(matrices.kernel), np.abs(g))
    np.testing.assert_array_equal(np.abs(matrices.input), np.abs(b))
    assert matrices.output.tolist() == [[1, 1, 1, 0], [0, 1, -1, 1]]
    assert Fraction(1, 2) == Fraction(float(matrices.kernel[1, 0]))


CASES = [
    ((8, 8), 3, (1, 1)),
    ((5, 11), 3, (1, 1)),
    ((3, 2), 3, (1, 1)),
    ((9, 9), 2, (0, 0)),
    ((6, 7), 2, (1, 1)),
    ((7, 5), 3, (0, 2)),
    ((4, 4), 1, (0, 0)),
]


@pytest.mark.parametrize(("size", "taps", "padding"), CASES)
def test_it_is_the_convolution_and_so_are_its_gradients(size, taps, padding):
    x, kernel = operands(2, *size, 5, 3, taps)
    value, pull = jax.vjp(lambda *p: winograd(*p, padding), x, kernel)
    expected, pull_plain = jax.vjp(lambda *p: plain(*p, padding), x, kernel)
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
    cotangent = jax.random.normal(jax.random.key(1), value.shape)
    for gradient, reference in zip(pull(cotangent), pull_plain(cotangent), strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize(("taps", "stride"), [(3, 1), (4, 2)])
def test_it_rounds_a_few_times_more_than_the_plain_convolution_in_float32(taps, stride):
    x, kernel = operands(4, 16, 16, 64, 64, taps)
    side = 16 // stride
    exact = np.zeros((4, side, side, 64))
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for i in range(taps):
        for j in range(taps):
            rows, columns = (slice(tap, tap + 16, stride) for tap in (i, j))
            exact += padded[:, rows, columns][:, :side, :side] @ np.asarray(kernel[i, j], np.float64)
    scale = np.sqrt(np.mean(exact**2))
    found = (f(x, kernel, (1, 1), stride) for f in (convolve, plain))
    error, error_plain = (np.sqrt(np.mean((y - exact) ** 2)) / scale for y in found)
    assert error_plain < error < 6 * error_plain


def test_the_adjoint_of_the_gradient_is_the_convolution_again():
    # <W(x, g), k> = <x * k, g> for all three arguments.
    x, kernel = operands(2, 6, 6, 3, 4, 3)
    g = jax.random.normal(jax.random.key(2), (2, 6, 6, 4))
    product = float(jnp.vdot(plain(x, kernel, (1, 1)), g))
    np.testing.assert_allclose(jnp.vdot(kernel_gradient(x, g, 3, (1, 1)), kernel), product, rtol=1e-4)


STRIDED = [
    ((8, 8), 4, (1, 1)),
    ((10, 14), 4, (1, 1)),
    ((6, 2), 4, (1, 1)),
    ((12, 16), 6, (2, 2)),
    ((7, 9), 4, (2, 1)),
    ((4, 8), 2, (0, 0)),
]


@pytest.mark.parametrize(("size", "taps", "padding"), STRIDED)
def test_of_stride_2_it_is_the_convolution_and_has_the_gradient_of_its_kernel(size, taps, padding):
    x, kernel = operands(2, *size, 5, 3, taps)
    expected, pull = jax.vjp(lambda kernel: plain(x, kernel, padding, 2), kernel)
    np.testing.assert_allclose(convolve(x, kernel, padding, 2), expected, rtol=1e-4, atol=2e-4)
    cotangent = jax.random.normal(jax.random.key(1), expected.shape)
    gradient = kernel_gradient(x, cotangent, taps, padding, 2)
    np.testing.assert_allclose(gradient, pull(cotangent)[0], rtol=1e-4, atol=2e-4)


EIGHT = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))


def on_each_device(function, *given):
    """What a function makes of each device's part of what is given."""
    split = jax.sharding.PartitionSpec("data")
    return jax.jit(jax.shard_map(function, mesh=EIGHT, in_specs=split, out_specs=split))(*given)


def test_the_only_device_of_a_cpu_has_the_cache_of_all_cores_and_one_of_several_that_of_a_core(monkeypatch):
    # 36 points of 64 tiles of 32 channels are 288 KiB an image.
    found = []
    on_each_device(lambda x: found.append(rounds_of(len(x), (32, 32), (3, 3, 32, 32), 1)) or x, np.zeros(8 * 32))
    assert found == [32]
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    assert rounds_of(32, (32, 32), (3, 3, 32, 32), 1) == 1
    assert rounds_of(64, (32, 32), (3, 3, 32, 32), 1) == 2


def test_a_batch_that_is_not_split_yet_has_in_every_round_as_many_images_for_each_device():
    assert rounds_of(32, (32, 32), (3, 3, 32, 32), 1) == 4
    # Of 12 images no eighth is whole: four devices have one each.
    assert rounds_of(12, (32, 32), (3, 3, 32, 32), 1) == 3
    assert rounds_of(7, (32, 32), (3, 3, 32, 32), 1) == 7


def test_a_batch_is_worked_through_in_rounds_that_fit_the_cache(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    monkeypatch.setattr(winograd_file, "SHARED_CACHE", 2_500_000)
    assert rounds_of(64, (32, 32), (3, 3, 64, 64), 1) == 16
    assert rounds_of(64, (8, 8), (3, 3, 4, 4), 1) == 1
    # No divisor but the batch itself.
    assert rounds_of(61, (32, 32), (3, 3, 64, 64), 1) == 61
    # A kernel of 9 MB is not read again for each image.
    assert rounds_of(8, (16, 16), (3, 3, 256, 256), 1) == 1
    # 25 points of 4 tiles of 4 * 64 channels are 100 KiB an image.
    assert rounds_of(64, (8, 8), (4, 4, 64, 64), 2) == 4


@pytest.mark.parametrize(("taps", "stride"), [(3, 1), (4, 2)])
def test_rounds_change_nothing(monkeypatch, taps, stride):
    x, kernel = operands(32, 32, 32, 64, 16, taps)
    outputs = 32 // stride
    monkeypatch.setattr(winograd_file, "OWN_CACHE", 300_000)
    assert rounds_of(32, (outputs, outputs), kernel.shape, stride) > 1
    one_by_one = [convolve(x[n : n + 1], kernel, (1, 1), stride) for n in range(32)]
    found = convolve(x, kernel, (1, 1), stride)
    np.testing.assert_allclose(found, jnp.concatenate(one_by_one), rtol=1e-5, atol=1e-4)
    g = jnp.ones((32, outputs, outputs, 16))
    alone = sum(kernel_gradient(x[n : n + 1], g[n : n + 1], taps, (1, 1), stride) for n in range(32))
    np.testing.assert_allclose(kernel_gradient(x, g, taps, (1, 1), stride), alone, rtol=1e-4, atol=1e-2)


def test_split_over_eight_devices_it_gives_the_same_and_exchanges_nothing():
    split = jax.sharding.NamedSharding(EIGHT, jax.sharding.PartitionSpec("data"))
    x, kernel = operands(64, 32, 32, 64, 64, 3)
    assert rounds_of(64, (32, 32), kernel.shape, 1) > 1
    x = jax.device_put(x, split)
    compute = jax.jit(lambda x, kernel: winograd(x, kernel, (1, 1))).lower(x, kernel).compile()
    np.testing.assert_allclose(compute(x, kernel), winograd(x, kernel, (1, 1)), rtol=1e-4, atol=1e-4)
    assert not re.findall("all-gather|all-reduce|all-to-all|collective-permute", compute.as_text())
