import numpy as np
import pytest
from scipy import stats

from gen_jax.errors import ConfigError
from gen_jax.metrics.inception_score import inception_score


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[labels]


@pytest.mark.parametrize("splits", [1, 5, 10])
def test_sure_and_balanced_predictions_score_the_number_of_classes(splits):
    found = inception_score(one_hot(np.arange(200) % 4, 4), splits)
    assert found.mean == pytest.approx(4, rel=1e-12)
    assert found.deviation == pytest.approx(0, abs=1e-12)
    assert found.splits == splits


def test_uniform_predictions_score_one():
    found = inception_score(np.full((100, 7), 1 / 7, np.float32))
    assert found.mean == pytest.approx(1, abs=1e-6)
    assert found.splits == 10


def test_one_and_the_same_class_scores_one():
    assert inception_score(one_hot(np.zeros(50, int), 10)).mean == 1


def test_splits_follow_each_other_and_are_as_equal_as_can_be():
    # The first split has one sample of each class, the second three of one and one of another.
    found = inception_score(one_hot(np.array([0, 1, 2, 1, 1, 1, 2]), 3), splits=2)
    second = 4 / 3**0.75
    assert found.mean == pytest.approx((3 + second) / 2, rel=1e-12)
    assert found.deviation == pytest.approx((3 - second) / 2, rel=1e-12)


def test_agrees_with_divergences_of_scipy():
    probabilities = np.random.default_rng(0).dirichlet(np.full(6, 0.3), 90).astype(np.float32)
    scores = []
    for part in np.split(probabilities.astype(np.float64), 3):
        marginal = part.mean(axis=0)
        scores.append(np.exp(np.mean([stats.entropy(row / row.sum(), marginal / marginal.sum()) for row in part])))
    found = inception_score(probabilities, splits=3)
    assert found.mean == pytest.approx(np.mean(scores), rel=1e-5)
    assert found.deviation == pytest.approx(np.std(scores), rel=1e-3)


def test_a_class_that_is_never_predicted_changes_nothing():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 40)
    assert inception_score(np.pad(probabilities, ((0, 0), (0, 3)))) == inception_score(probabilities)


@pytest.mark.parametrize("splits", [0, 11])
def test_splits_without_samples_are_refused(splits):
    with pytest.raises(ConfigError, match=str(splits)):
        inception_score(np.full((10, 2), 0.5), splits)


@pytest.mark.parametrize("row", [[0.5, 0.4], [1.5, -0.5], [np.nan, 1.0]])
def test_what_is_no_probabilities_is_refused(row):
    with pytest.raises(ConfigError, match="probabilities"):
        inception_score(np.array([row] * 10))
