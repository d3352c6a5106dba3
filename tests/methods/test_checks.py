import pytest

from gen_jax.data.field import image_fields, point_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.methods.checks import require_images, require_size


def info(name, shape):
    return DataInfo(
        name,
        image_fields(shape) if len(shape) == 3 else point_fields(),
        train_size=10,
        held_out_size=2,
        fingerprint="f",
    )


def test_images_pass_with_their_shape():
    assert require_images(info("digits", (8, 6, 3))) == (8, 6, 3)


def test_points_are_refused_by_name():
    with pytest.raises(ConfigError, match="--data is ring8, which has points; this architecture makes images"):
        require_images(info("ring8", (2,)))
    with pytest.raises(ConfigError, match="--data is ring8, which has points"):
        require_size(info("ring8", (2,)), lambda size: True, lambda size: size)


def test_supported_squares_pass_with_their_shape():
    assert require_size(info("digits", (8, 8, 1)), lambda size: size == 8, lambda size: 8) == (8, 8, 1)


@pytest.mark.parametrize(("shape", "text"), [((28, 28, 1), "28x28"), ((32, 40, 3), "32x40"), ((48, 32, 3), "48x32")])
def test_other_sizes_are_refused_with_the_nearest(shape, text):
    with pytest.raises(ConfigError) as raised:
        require_size(info("mnist", shape), lambda size: size == 32, lambda size: 32)
    assert str(raised.value) == (
        f"mnist has images of {text}, which this architecture cannot make; the nearest that it can: --image-size 32"
    )


def test_nearest_size_is_asked_for_the_short_side():
    asked = []
    with pytest.raises(ConfigError):
        require_size(info("mnist", (48, 30, 3)), lambda size: False, lambda size: asked.append(size) or 32)
    assert asked == [30]
