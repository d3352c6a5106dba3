"""The exact Wasserstein-1 distance between two sets of points."""

import numpy as np

from gen_jax.errors import ConfigError


def wasserstein_1(a: np.ndarray, b: np.ndarray) -> float:
    """The least mean Euclidean distance by which the points of one set can be moved onto those of the other.

    Exact: equal weights on equally many points, so the best plan is an assignment (Peyré and Cuturi, arXiv 1803.00567,
    proposition 2.1), found by `scipy.optimize.linear_sum_assignment`. Finite samples of one distribution are further
    than 0 apart, so compare with the distance between two real sets of the same size. Time grows with the cube and
    memory with the square of the number of points: meant for a few thousand.

    Args:
      a, b: points (n, d) and (m, d). Of the larger set as many as the smaller one has are drawn without replacement,
        always the same ones.

    Returns:
      At least 0, in units of the points; NaN where a point is not finite.

    Raises:
      ConfigError: a set is empty, or the dimensions differ.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    if a.shape[1:] != b.shape[1:]:
        raise ConfigError(f"points of the shapes {a.shape[1:]} and {b.shape[1:]} cannot be compared")
    count = min(len(a), len(b))
    if count == 0:
        raise ConfigError(f"there are {len(a)} and {len(b)} points; the Wasserstein distance needs at least 1 of each")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    costs = cdist(_subset(a, count), _subset(b, count))
    return float(costs[linear_sum_assignment(costs)].mean())


def _subset(points: np.ndarray, count: int) -> np.ndarray:
    """`count` of the points: all as they are, or drawn, for the first ones of a set may all be of one mode."""
    if len(points) == count:
        return points
    return points[np.random.default_rng(0).choice(len(points), count, replace=False)]
