import pytest

from gen_jax.models import conv_autoencoder, dcgan, resnet_gan, unet
from gen_jax.models.image_size import doubled_side, nearest_doubled, nearest_multiple

DOUBLED = {side << doublings: side for side in (4, 5, 6, 7) for doublings in range(1, 8)}


def test_a_doubled_side_becomes_the_size_by_doubling():
    for size in range(-2, 400):
        assert doubled_side(size) == DOUBLED.get(size)


def test_nearest_is_the_brute_force_choice_and_the_larger_on_a_tie():
    multiples = range(12, 400, 12)
    for size in range(1, 300):
        assert nearest_doubled(size) == min(DOUBLED, key=lambda p: (abs(p - size), -p))
        assert nearest_multiple(size, 12) == min(multiples, key=lambda m: (abs(m - size), -m))


@pytest.mark.parametrize("architecture", [conv_autoencoder, dcgan, resnet_gan, unet])
def test_the_nearest_size_is_supported_and_a_supported_size_is_its_own_nearest(architecture):
    for size in range(1, 140):
        assert architecture.supports(architecture.nearest_size(size))
        assert architecture.supports(size) == (architecture.nearest_size(size) == size)


def test_sizes_of_common_data_sets():
    assert [dcgan.nearest_size(size) for size in (8, 28, 31, 64, 96, 100)] == [8, 28, 32, 64, 96, 96]
    assert [resnet_gan.supports(size) for size in (4, 8, 28, 32, 36)] == [False, True, True, True, False]
    assert [unet.nearest_size(size) for size in (8, 28, 32)] == [8, 32, 32]
    assert [unet.supports(28, levels=levels) for levels in (1, 2, 3, 4)] == [True, True, True, False]
