import numpy as np
import pytest
from scipy import stats

from gen_jax.metrics.memorisation import TrainingNeighbours, memorisation
from gen_jax.metrics.neighbours import nearest


def features(n: int, seed: int, d: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def test_a_generator_of_training_images_is_caught(digit_pixels):
    training, held_out = digit_pixels[:1200], TrainingNeighbours.of(digit_pixels[1200:], digit_pixels[:1200])
    found = memorisation(TrainingNeighbours.of(training[200:500], training), held_out)
    assert (found.distance_ratio, found.farther, found.copied, found.authenticity) == (0, 0, 1, 0)
    assert found.z < -20
    # A few grey levels of noise hide no copy.
    noise = np.random.default_rng(1).integers(0, 5, (300, 64), dtype=np.uint8)
    found = memorisation(TrainingNeighbours.of(np.minimum(training[200:500], 250) + noise, training), held_out)
    assert found.distance_ratio < 0.35
    assert found.z < -20
    assert found.copied > 0.7
    assert found.authenticity < 0.01


def test_a_generator_of_fresh_images_is_not_caught(digit_pixels):
    training, held_out, samples = digit_pixels[:1000], digit_pixels[1000:1400], digit_pixels[1400:]
    found = memorisation(TrainingNeighbours.of(samples, training), TrainingNeighbours.of(held_out, training))
    assert found.distance_ratio == pytest.approx(1, abs=0.05)
    assert abs(found.z) < 3
    assert found.farther == pytest.approx(0.5, abs=0.06)
    assert found.copied < 0.01
    assert found.held_out_copied < 0.01
    assert found.authenticity == pytest.approx(found.held_out_authenticity, abs=0.1)


def test_a_generator_that_copies_sometimes_is_known_by_its_share(digit_pixels):
    training, held_out = digit_pixels[:1000], TrainingNeighbours.of(digit_pixels[1000:1400], digit_pixels[:1000])
    mixed = np.concatenate([training[:99], digit_pixels[1400:]])
    found = memorisation(TrainingNeighbours.of(mixed, training), held_out)
    assert found.copied == pytest.approx(99 / len(mixed), abs=0.01)
    assert found.z < -3
    assert 0.6 < found.distance_ratio < 0.9


def test_smooth_images_are_close_to_the_training_set_but_no_copies(digit_pixels):
    training, held_out = digit_pixels[:1200], TrainingNeighbours.of(digit_pixels[1200:], digit_pixels[:1200])
    among = nearest(digit_pixels[1200:], training, 8)[1]
    blurry = training[among].mean(axis=1).astype(np.float32)
    found = memorisation(TrainingNeighbours.of(blurry, training), held_out)
    assert found.distance_ratio < 0.95
    assert found.z < -3
    assert found.copied < 0.01


def test_fresh_points_are_authentic_as_often_as_neighbours_are_not_mutual():
    # A point and its nearest are each other's nearest with probability 2/3 on the line, and
    # 6 pi / (8 pi + 3 sqrt(3)) in the plane: Clark and Evans, "On some aspects of spatial pattern", 1955.
    for d, mutual in ((1, 2 / 3), (2, 6 * np.pi / (8 * np.pi + 3 * np.sqrt(3)))):
        training, fresh = np.random.default_rng(d).uniform(size=(2, 4000, d))
        found = TrainingNeighbours.of(fresh, training)
        authenticity = memorisation(found, found).authenticity
        assert abs(authenticity - (1 - mutual)) < 5 * np.sqrt(mutual * (1 - mutual) / 4000)


def test_a_copy_of_an_image_that_is_twice_in_the_training_set_is_a_copy():
    training = features(50, 0)[np.array([*range(50), 7])]
    copies, held_out = (TrainingNeighbours.of(x, training) for x in (training[7:8], features(20, 1)))
    found = memorisation(copies, held_out)
    assert (found.copied, found.authenticity, found.distance_ratio) == (1, 0, 0)


def test_neighbours_are_as_defined():
    training = np.array([[0.0], [1.0], [1.5], [10.0]])
    found = TrainingNeighbours.of(np.array([[0.9], [7.5], [10.1], [-3.0]]), training)
    np.testing.assert_array_equal(found.indices, [1, 3, 3, 0])
    np.testing.assert_allclose(found.distances, [[0.1, 0.6], [2.5, 6], [0.1, 8.6], [3, 4]])
    np.testing.assert_array_equal(found.spacing, [0.5, 8.5, 8.5, 1])
    result = memorisation(found, found)
    assert (result.copied, result.authenticity) == (0.5, 0.25)
    assert (result.held_out_copied, result.held_out_authenticity) == (0.5, 0.25)
    assert (result.distance_ratio, result.farther, result.z) == (1, 0.5, 0)


def test_statistic_is_that_of_mann_and_whitney():
    generator = np.random.default_rng(0)
    samples, held_out = generator.gamma(2, size=90), generator.gamma(2.5, size=140)
    of_both = [TrainingNeighbours(np.zeros(len(x), int), np.stack([x, 2 * x], axis=1), x) for x in (samples, held_out)]
    found = memorisation(*of_both)
    expected = stats.mannwhitneyu(samples, held_out, method="asymptotic", use_continuity=False)
    assert found.farther == pytest.approx(expected.statistic / (90 * 140), rel=1e-12)
    assert 2 * stats.norm.cdf(-abs(found.z)) == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.z < 0


def test_held_out_data_that_were_trained_on_give_no_ratio(digit_pixels):
    copies = TrainingNeighbours.of(digit_pixels[:50], digit_pixels[:300])
    found = memorisation(copies, copies)
    assert np.isnan(found.distance_ratio)
    assert found.held_out_copied == 1
