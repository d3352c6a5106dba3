"""Whether samples are copies of the training set."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gen_jax.metrics.neighbours import nearest


@dataclass(frozen=True)
class TrainingNeighbours:
    """The nearest training examples of n examples.

    Attributes:
      indices: int (n,), of the nearest one.
      distances: float64 (n, 2), to it and to the second nearest.
      spacing: float64 (n,), from it to the nearest of the other training examples.
    """

    indices: np.ndarray
    distances: np.ndarray
    spacing: np.ndarray

    @classmethod
    def of(cls, examples: np.ndarray, training: np.ndarray) -> "TrainingNeighbours":
        """Those of (n, d) among (m, d), pixels or features; it takes two searches. Raises ConfigError as `nearest`."""
        distances, indices = nearest(examples, training, 2)
        found, places = np.unique(indices[:, 0], return_inverse=True)
        spacing = nearest(training[found], training, 2)[0][:, 1]
        return cls(indices[:, 0], distances, spacing[places])


class Memorisation(NamedTuple):
    """Whether samples are closer to the training set than unseen data are.

    In pixels, smooth images are close to everything: means of 5 neighbours in MNIST have a ratio of 0.65, z far below 0
    and an authenticity of 0.02, and copy nothing. `copied` knows the difference: it is 0 of them and 1 of copies.

    Attributes:
      distance_ratio: mean distance to the nearest training example, divided by that of held-out data: 0 of copies, 1 of
        samples as far as unseen data. NaN where the held-out data are training data.
      z: standard score of the Mann-Whitney statistic of the two sets of distances: far below 0 of copies, far above of
        samples unlike the data. Meehan et al., arXiv 2004.05675, Z_U, with all of space as one cell. Grows with counts.
      farther: the same as a share: how often a sample is farther from the training set than a held-out example, 0 to 1;
        0.5 where the distances are distributed alike.
      copied: share of samples no more than a third as far from the nearest training example as from the second nearest.
        Yoon et al., "Diffusion Probabilistic Models Generalize when They Fail to Memorize", ICML 2023 workshop SPIGM.
      held_out_copied: the same of held-out data.
      authenticity: share of samples farther from their nearest training example than that is from another one.
        Alaa et al., arXiv 2102.08921. Unseen data do not have 1 (MNIST in pixels 0.66): compare with the next.
      held_out_authenticity: the same of held-out data.
    """

    distance_ratio: float
    z: float
    farther: float
    copied: float
    held_out_copied: float
    authenticity: float
    held_out_authenticity: float


def memorisation(samples: TrainingNeighbours, held_out: TrainingNeighbours) -> Memorisation:
    """Compares the neighbours of samples with those of real examples that were not trained on, of any number."""
    of_samples, of_held_out = samples.distances[:, 0], np.sort(held_out.distances[:, 0])
    n, m = len(of_samples), len(of_held_out)
    closer, not_farther = (np.searchsorted(of_held_out, of_samples, side).sum() for side in ("left", "right"))
    farther = (closer + not_farther) / (2 * n * m)
    unseen = of_held_out.mean()
    return Memorisation(
        float(of_samples.mean() / unseen) if unseen > 0 else float("nan"),
        float((farther - 0.5) / np.sqrt((n + m + 1) / (12 * n * m))),
        float(farther),
        *(float(np.mean(3 * found.distances[:, 0] <= found.distances[:, 1])) for found in (samples, held_out)),
        *(float(np.mean(found.distances[:, 0] > found.spacing)) for found in (samples, held_out)),
    )
