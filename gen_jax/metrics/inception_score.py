"""The Inception Score: whether a classifier is sure of each sample, and of another class each time."""

import itertools
from dataclasses import dataclass

import numpy as np

from gen_jax.errors import ConfigError


@dataclass(frozen=True)
class InceptionScore:
    """An Inception Score, with what it is not comparable without.

    Attributes:
      mean: over splits, from 1 to the number of classes.
      deviation: standard deviation over splits, as published behind a plus-minus: how much one split varies.
      splits: how many; fewer samples a split make a lower score.
    """

    mean: float
    deviation: float
    splits: int


def inception_score(probabilities: np.ndarray, splits: int = 10) -> InceptionScore:
    """exp of the mean divergence KL(p(y|x) || p(y)), where p(y) is the mean of p(y|x), for each split.

    Salimans et al., arXiv 1606.03498, section 4; with Inception's 1,008 classes, 50,000 samples and 10 splits. Splits
    are samples that follow each other, as in their code, so samples sorted by class score too low.

    Args:
      probabilities: (n, classes) of a classifier, each row of sum 1; zeros count as what they tend to.
      splits: how many, at most n.

    Raises:
      ConfigError: fewer samples than splits, or rows that are no probabilities.
    """
    if splits < 1:
        raise ConfigError(f"splits is {splits}; accepted: a number of at least 1")
    if len(probabilities) < splits:
        raise ConfigError(f"there are {len(probabilities)} samples; {splits} splits need at least as many")
    probabilities = probabilities.astype(np.float64)
    if not (np.all(probabilities >= 0) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)):
        raise ConfigError("the Inception Score takes probabilities: at least 0, with a sum of 1 for each sample")
    ends = np.arange(splits + 1) * len(probabilities) // splits
    scores = [_score(probabilities[start:end]) for start, end in itertools.pairwise(ends)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), splits)


def _score(probabilities: np.ndarray) -> float:
    # The mean divergence from the mean is the entropy of the mean less the mean entropy: no zero is divided by.
    marginal = probabilities.mean(axis=0, keepdims=True)
    return float(np.exp(_mean_entropy(marginal) - _mean_entropy(probabilities)))


def _mean_entropy(probabilities: np.ndarray) -> float:
    """The mean over rows (n, classes) of their entropy in nats, where 0 log 0 is 0."""
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return float(-(probabilities * logarithms).sum(axis=1).mean())
