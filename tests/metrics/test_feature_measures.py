import numpy as np
import pytest
from small_networks import first_pixels

from gen_jax.errors import ConfigError
from gen_jax.metrics.collected import Collected
from gen_jax.metrics.feature_measures import Quantity, check_counts, feature_measures, qualified, sample_count
from gen_jax.metrics.moments import Moments

FID = Quantity("fid", "FID", "smaller")


def collected(features, probabilities=None):
    features = np.asarray(features, np.float32)
    uniform = np.full((len(features), 4), 0.25, np.float32)
    return Collected(Moments.of(features), features, uniform if probabilities is None else probabilities)


def gaussian(n, shift=0.0, seed=0):
    return collected(np.random.default_rng(seed).normal(size=(n, 5)) + shift)


def compute(name, real, generated, **options):
    return [found.value for found in feature_measures(**options)[name].compute(real, generated)]


def test_a_set_is_at_no_distance_from_itself_and_covers_itself():
    real = gaussian(300)
    assert compute("fid", real, real)[0] == pytest.approx(0, abs=1e-6)
    assert compute("precision_recall", real, real) == [1, 1]
    density, coverage = compute("density_coverage", real, real)
    assert coverage == 1
    assert density == pytest.approx(1, abs=0.3)


def test_a_shift_is_seen_by_every_measure_that_compares():
    real, near, far = gaussian(400), gaussian(400, seed=1), gaussian(400, shift=20.0, seed=1)
    assert compute("fid", real, far)[0] == pytest.approx(5 * 20.0**2, rel=0.02)
    assert compute("fid", real, near)[0] < 0.5
    assert compute("kid", real, far)[0] > 100 * abs(compute("kid", real, near)[0])
    assert compute("precision_recall", real, far) == [0, 0]
    assert compute("density_coverage", real, far) == [0, 0]


def test_interval_of_kid_of_two_draws_of_one_distribution_holds_zero():
    low, high = feature_measures()["kid"].compute(gaussian(800), gaussian(800, seed=1))[0].interval
    assert low < 0 < high


def test_inception_score_has_its_splits_in_name_and_detail():
    one_hot = np.tile(np.eye(4, dtype=np.float32), (10, 1))
    generated = collected(np.zeros((40, 5)), one_hot)
    assert compute("inception_score", gaussian(9), generated, splits=5) == pytest.approx([4])
    measure = feature_measures(splits=5)["inception_score"]
    assert measure.quantities[0].note == "5 splits"
    assert measure.detail(9, 40) == {"splits": 5}
    assert measure.samples(real=9, generated=40) == 40


@pytest.mark.parametrize("name", ["precision_recall", "density_coverage"])
def test_of_the_larger_set_images_from_all_over_are_compared(name):
    # Sorted by class, as a folder is: two far clusters, of which the first half alone would show one.
    real = np.sort(gaussian(300).features, axis=0)
    real[150:] += 100
    few = collected(real[::5])
    assert min(compute(name, collected(real), few)) > 0.8
    assert min(compute(name, few, collected(real))) > 0.8


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("fid", {}),
        ("kid", {"subsets": 100, "subset_size": 179}),
        ("precision_recall", {"neighbours": 3, "images_of_each_set": 359}),
        ("density_coverage", {"neighbours": 5, "images_of_each_set": 359}),
    ],
)
def test_what_is_made_of_the_images_is_said(name, detail):
    assert feature_measures()[name].detail(359, 10_000) == detail
    assert feature_measures()["kid"].detail(50_000, 10_000)["subset_size"] == 1000


@pytest.mark.parametrize(
    ("name", "least"),
    [("fid", 2), ("kid", 4), ("precision_recall", 4), ("density_coverage", 6), ("inception_score", 10)],
)
def test_as_many_as_a_measure_needs_are_enough_and_fewer_are_refused(name, least):
    measure = feature_measures()[name]
    check_counts(name, measure, "--samples", least, least)
    assert all(np.isfinite(compute(name, gaussian(least), gaussian(least, seed=1))))
    with pytest.raises(ConfigError) as raised:
        check_counts(name, measure, "--samples", least - 1, least)
    assert str(raised.value) == f"--samples is {least - 1}; {name} needs at least {least}"


def test_too_few_real_images_are_refused_where_they_matter():
    with pytest.raises(ConfigError) as raised:
        check_counts("kid", feature_measures()["kid"], "--samples", 10, 3)
    assert str(raised.value) == "there are 3 real images; kid needs at least 4"
    check_counts("inception_score", feature_measures()["inception_score"], "--samples", 10, 0)


def test_ten_thousand_samples_and_inception_have_plain_names():
    assert qualified(FID, 10_000, first_pixels(2, "inception")) == FID
    assert qualified(FID, 50_000, first_pixels(2, "inception")) == FID


@pytest.mark.parametrize(
    ("network", "samples", "name", "metric"),
    [
        ("inception", 9_999, "FID-9999, not comparable", "fid_9999"),
        ("inception", 1_000, "FID-1k, not comparable", "fid_1k"),
        ("inception", 500, "FID-500, not comparable", "fid_500"),
        ("mnist classifier", 10_000, "FID (mnist classifier)", "fid_mnist_classifier"),
        ("mnist classifier", 2_500, "FID-2.5k (mnist classifier), not comparable", "fid_2p5k_mnist_classifier"),
    ],
)
def test_what_forbids_a_comparison_is_in_the_names(network, samples, name, metric):
    assert qualified(FID, samples, first_pixels(2, network)) == Quantity(metric, name, "smaller")


def test_fewer_samples_than_features_are_not_comparable():
    assert qualified(FID, 10_000, first_pixels(10_001, "inception")).name == "FID-10k, not comparable"


def test_a_note_is_in_brackets_too():
    quantity = Quantity("inception_score", "Inception Score", "larger", "10 splits")
    assert qualified(quantity, 10_000, first_pixels(2, "inception")).name == "Inception Score (10 splits)"
    found = qualified(quantity, 1_000, first_pixels(2, "digits classifier")).name
    assert found == "Inception Score-1k (digits classifier; 10 splits), not comparable"


def test_sample_counts_are_short():
    counts = (2, 999, 1000, 1438, 2500, 50_000)
    assert [sample_count(n) for n in counts] == ["2", "999", "1k", "1438", "2.5k", "50k"]
