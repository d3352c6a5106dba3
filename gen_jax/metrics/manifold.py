"""How much of the samples lies where data are, and the reverse: balls around examples stand for the distributions."""

from typing import NamedTuple

import numpy as np

from gen_jax.errors import ConfigError
from gen_jax.metrics.neighbours import distances_of_pairs, nearest, squared_distance_blocks


class PrecisionRecall(NamedTuple):
    """Shares from 0 to 1.

    Attributes:
      precision: of samples that lie in the ball of a real example.
      recall: of real examples that lie in the ball of a sample.
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """How densely samples lie where data are, and how much of the data they reach.

    Attributes:
      density: in how many balls of real examples a sample lies on average, divided by k; may be above 1, and
        is expected to be 1 of samples of the data's own distribution.
      coverage: share of real examples in whose ball a sample lies. Of as many samples of the same distribution, it is
        expected to be about 1 - 2^-k, and the nearer the more they are: 0.97 for k = 5 (Naeem et al.).
    """

    density: float
    coverage: float


def precision_recall(real: np.ndarray, samples: np.ndarray, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall: Kynkäänniemi et al., arXiv 1904.06991, eqs. 1 and 2, with their k.

    Args:
      real, samples: features (n, d) and (m, d), more than k of each. Counts matter: balls shrink where there are more.
      k: the ball of an example reaches to its k-th nearest of the others in its set, and includes its surface.

    Raises:
      ConfigError: fewer than k + 1 of a set, dimensions that differ, numbers that are not finite.
    """
    balls_of_sample, _ = contained(samples, real, radii(real, k), surface=True)
    balls_of_real, _ = contained(real, samples, radii(samples, k), surface=True)
    return PrecisionRecall(float(np.mean(balls_of_sample > 0)), float(np.mean(balls_of_real > 0)))


def density_coverage(real: np.ndarray, samples: np.ndarray, k: int = 5) -> DensityCoverage:
    """Density and coverage: Naeem et al., arXiv 2002.09797, with their k.

    Args:
      real, samples: features (n, d) and (m, d), more than k real ones.
      k: the ball of a real example reaches to its k-th nearest of the others, and leaves out its surface, as in the
        authors' package, `prdc`: that decides about equal examples alone.

    Raises:
      ConfigError: fewer than k + 1 real ones, no sample, dimensions that differ, numbers that are not finite.
    """
    balls_of_sample, samples_of_ball = contained(samples, real, radii(real, k), surface=False)
    return DensityCoverage(float(np.mean(balls_of_sample) / k), float(np.mean(samples_of_ball > 0)))


def radii(features: np.ndarray, k: int) -> np.ndarray:
    """The distance float64 (n,) of each of (n, d) to the k-th nearest of the others.

    Raises:
      ConfigError: there are not k others.
    """
    if k < 1:
        raise ConfigError(f"k is {k}; accepted: a number of at least 1")
    if len(features) <= k:
        raise ConfigError(f"there are {len(features)} samples; the {k}-th nearest of the others needs at least {k + 1}")
    # Each is at distance 0 from itself: there is one 0 to leave out, whichever it is.
    return nearest(features, features, k + 1)[0][:, k]


def contained(
    points: np.ndarray, centres: np.ndarray, radii: np.ndarray, surface: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Counts which points (n, d) lie in which of the balls around centres (m, d).

    Args:
      points, centres: of any real type.
      radii: float64 (m,).
      surface: whether a point as far from a centre as its radius is in the ball.

    Returns:
      The number of balls that each point lies in (n,), and that of points in each ball (m,).
    """
    if len(points) == 0:
        raise ConfigError("there are 0 samples; accepted: at least 1")
    balls_of_point, points_of_ball = np.zeros(len(points), np.int64), np.zeros(len(centres), np.int64)
    for start, squares, error in squared_distance_blocks(points, centres):
        beyond = squares - (radii**2).astype(np.float32)
        # The squared radius is rounded too, by far less than the distance may be off.
        margin = error + np.finfo(np.float32).eps * (radii**2).astype(np.float32)
        inside = beyond < -margin
        rows, columns = np.nonzero(np.abs(beyond) <= margin)
        exact = distances_of_pairs(points, centres, rows + start, columns)
        inside[rows, columns] = exact <= radii[columns] if surface else exact < radii[columns]
        balls_of_point[start : start + len(squares)] = inside.sum(axis=1)
        points_of_ball += inside.sum(axis=0)
    return balls_of_point, points_of_ball
