import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gen_jax.data import Binarized, Dequantized, Identity, Scaled, Signed, Unit

LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
KEY = jax.random.key(0)
IMAGES = [Signed, Unit, Binarized, Dequantized]


@pytest.mark.parametrize(("transform", "low", "high"), [(Signed(), -1, 1), (Unit(), 0, 1)])
def test_grey_levels_span_the_range_evenly(transform, low, high):
    out = np.asarray(transform.evaluate(jnp.asarray(LEVELS), KEY)).ravel()
    np.testing.assert_allclose(out, np.linspace(low, high, 256), atol=1e-6)


@pytest.mark.parametrize("transform", [Signed(), Unit(), Dequantized()])
@pytest.mark.parametrize("as_array", [jnp.asarray, np.asarray])
def test_restore_gives_back_every_grey_level(transform, as_array):
    for seed in range(5):
        out = as_array(transform.evaluate(jnp.asarray(LEVELS), jax.random.key(seed)))
        restored = transform.restore(out)
        assert restored.dtype == np.uint8
        assert isinstance(restored, np.ndarray) == isinstance(out, np.ndarray)
        np.testing.assert_array_equal(restored, LEVELS)


@pytest.mark.parametrize("transform", [Signed(), Unit(), Binarized()])
def test_restore_rounds_to_the_nearest(transform):
    width = 2 / 255 if transform == Signed() else 1 / 255
    start = -1 if transform == Signed() else 0
    x = np.array([10.4, 10.6], np.float32) * width + start
    np.testing.assert_array_equal(transform.restore(x), [10, 11])


@pytest.mark.parametrize("transform", [cls() for cls in IMAGES])
def test_restore_clips(transform):
    np.testing.assert_array_equal(transform.restore(np.array([-9.0, 9.0], np.float32)), [0, 255])


@pytest.mark.parametrize("cls", IMAGES)
def test_transforms_work_under_jit_and_give_float32(cls):
    x = jnp.asarray(np.repeat(LEVELS, 3, axis=-1))
    for function in (jax.jit(cls(flip=True).train), jax.jit(cls().evaluate)):
        out = function(x, KEY)
        assert (out.shape, out.dtype) == (x.shape, jnp.float32)


@pytest.mark.parametrize("cls", IMAGES)
def test_half_the_training_images_are_mirrored_and_no_others(cls):
    # Black but for the left column, so that binarisation leaves it as it is.
    x = np.zeros((400, 4, 4, 1), np.uint8)
    x[:, :, 0] = 255
    out = np.asarray(cls(flip=True).train(jnp.asarray(x), KEY))
    left_is_light, right_is_light = out[:, :, 0].mean((1, 2)) > 0.5, out[:, :, -1].mean((1, 2)) > 0.5
    np.testing.assert_array_equal(left_is_light, ~right_is_light)
    assert scipy.stats.binomtest(int(left_is_light.sum()), 400, 0.5).pvalue > 1e-3
    assert (np.asarray(cls(flip=False).train(jnp.asarray(x), KEY))[:, :, 0] > 0.5).all()
    assert (np.asarray(cls(flip=True).evaluate(jnp.asarray(x), KEY))[:, :, 0] > 0.5).all()


def test_mirroring_turns_left_and_right_only():
    x = np.random.default_rng(0).integers(0, 256, (64, 5, 6, 3), dtype=np.uint8)
    out = np.asarray(Unit().restore(Unit(flip=True).train(jnp.asarray(x), KEY)))
    same = (out == x).all((1, 2, 3))
    mirrored = (out == x[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert same.any()
    assert mirrored.any()


def test_binarized_draws_each_pixel_with_its_grey_level():
    x = jnp.asarray(np.broadcast_to(LEVELS, (4000, 16, 16, 1)))
    for function in (Binarized().train, Binarized().evaluate):
        out = np.asarray(function(x, KEY))
        assert set(np.unique(out)) == {0.0, 1.0}
        p = np.arange(256) / 255
        z = (out.mean(0).ravel() - p)[1:-1] / np.sqrt(p * (1 - p) / 4000)[1:-1]
        assert scipy.stats.kstest(z, "norm").pvalue > 1e-3
        assert (out[:, 0, 0] == 0).all()
        assert (out[:, -1, -1] == 1).all()


@pytest.mark.parametrize("transform", [Binarized(), Dequantized()])
def test_noise_is_drawn_anew_with_each_key(transform):
    x = jnp.full((1, 8, 8, 1), 128, jnp.uint8)
    for function in (transform.train, transform.evaluate):
        assert not np.array_equal(function(x, jax.random.key(0)), function(x, jax.random.key(1)))
        np.testing.assert_array_equal(function(x, jax.random.key(0)), function(x, jax.random.key(0)))


def test_dequantized_noise_is_uniform_in_the_bin_and_never_reaches_one():
    x = jnp.full((500, 20, 20, 1), 255, jnp.uint8)
    for function in (Dequantized().train, Dequantized().evaluate):
        out = np.asarray(function(x, KEY), np.float64)
        assert out.max() < 1
        assert scipy.stats.kstest((out * 256 - 255).ravel()[::20], "uniform").pvalue > 1e-3


def test_identity_changes_nothing():
    x = jnp.arange(6, dtype=jnp.float32).reshape(3, 2)
    for out in (Identity().train(x, KEY), Identity().evaluate(x, KEY), Identity().restore(x)):
        np.testing.assert_array_equal(out, x)


def test_scaled_points_are_in_units_of_the_scale_and_come_back():
    x = np.array([[4.0, -2.0], [0.5, 0.0]], np.float32)
    for out in (Scaled(2.0).train(jnp.asarray(x), KEY), Scaled(2.0).evaluate(jnp.asarray(x), KEY)):
        np.testing.assert_array_equal(out, [[2.0, -1.0], [0.25, 0.0]])
    np.testing.assert_array_equal(Scaled(2.0).restore(np.array([[2.0, -1.0]], np.float32)), [[4.0, -2.0]])
