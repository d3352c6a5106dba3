import numpy as np
import pytest
import scipy.stats

from gen_jax.data import load_dataset


def nearest(x, centres):
    return np.argmin(((x[:, None] - centres[None]) ** 2).sum(-1), axis=1)


@pytest.mark.parametrize("name", ["ring8", "grid25", "swissroll"])
def test_sizes_and_types(name):
    data = load_dataset(name)
    assert (data.kind, data.shape, data.class_names) == ("points", (2,), None)
    assert data.train.arrays["x"].shape == (100_000, 2)
    assert data.test.arrays["x"].shape == (10_000, 2)
    assert data.train.arrays["x"].dtype == np.float32


@pytest.mark.parametrize("name", ["ring8", "grid25", "swissroll"])
def test_every_load_draws_the_same_points_and_holds_out_others(name):
    first, second = load_dataset(name), load_dataset(name)
    np.testing.assert_array_equal(first.train.arrays["x"], second.train.arrays["x"])
    np.testing.assert_array_equal(first.test.arrays["x"], second.test.arrays["x"])
    assert first.fingerprint == second.fingerprint
    # Drawn with the training points' seed, the held-out ones would follow them.
    correlation = np.corrcoef(first.train.arrays["x"][:10_000, 0], first.test.arrays["x"][:, 0])[0, 1]
    assert abs(correlation) < 0.05


def test_ring_has_eight_distinct_modes_on_the_unit_circle():
    centres = load_dataset("ring8").mixture.centres
    assert len(np.unique(np.round(centres, 5), axis=0)) == 8
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1.0, rtol=1e-6)
    # Neighbours on a regular octagon are 2 sin(pi / 8) apart.
    sides = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, 2 * np.sin(np.pi / 8), rtol=1e-6)


def test_grid_has_twenty_five_modes_two_apart():
    centres = load_dataset("grid25").mixture.centres
    expected = {(float(a), float(b)) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)}
    assert {(float(a), float(b)) for a, b in centres} == expected


@pytest.mark.parametrize(("name", "sigma"), [("ring8", 0.01), ("grid25", 0.05)])
def test_points_are_drawn_from_the_stated_mixture(name, sigma):
    data = load_dataset(name)
    x, mixture = data.train.arrays["x"], data.mixture
    assert mixture.sigma == sigma
    mode = nearest(x, mixture.centres)
    counts = np.bincount(mode, minlength=len(mixture.centres))
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    standardised = (x - mixture.centres[mode]) / sigma
    assert scipy.stats.kstest(standardised.ravel(), "norm").pvalue > 1e-3


def test_swissroll_lies_on_its_spiral():
    x = load_dataset("swissroll").train.arrays["x"].astype(np.float64)
    angle = np.linspace(1.5 * np.pi, 4.5 * np.pi, 4000)
    spiral = 0.1 * angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    distance = np.min(np.linalg.norm(x[:2000, None] - spiral[None], axis=-1), axis=1)
    # Across the spiral the noise is one Gaussian of sigma 0.05.
    assert np.sqrt(np.mean(distance**2)) == pytest.approx(0.05, rel=0.1)
    assert distance.max() < 0.25
