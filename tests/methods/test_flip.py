import pytest

from gen_jax.data import Binarized, Identity, Scaled, Signed
from gen_jax.data.field import image_fields, point_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.methods import Flip

SIZES = {"train_size": 9, "held_out_size": 1, "fingerprint": "f"}
IMAGES = DataInfo("digits", image_fields((8, 8, 1)), **SIZES)
POINTS = DataInfo("ring8", point_fields(), **SIZES)


def test_images_are_mirrored_where_that_is_asked():
    assert Flip().transform(IMAGES) == Signed(flip=False)
    assert Flip(flip=True).transform(IMAGES) == Signed(flip=True)
    assert Flip(flip=True).transform(IMAGES, Binarized) == Binarized(flip=True)


def test_points_are_as_they_are_or_as_the_experiment_has_them():
    assert Flip().transform(POINTS) == Identity()
    assert Flip().transform(POINTS, points=Scaled(2.0)) == Scaled(2.0)


def test_points_are_not_mirrored():
    with pytest.raises(ConfigError, match=r"^--flip: 'ring8' has points, not images; leave the flag out$"):
        Flip(flip=True).transform(POINTS)
