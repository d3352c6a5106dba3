"""The Fréchet distance between two sets of features, each taken for a Gaussian."""

import numpy as np

from gen_jax.errors import ConfigError
from gen_jax.metrics.moments import Moments


def frechet_distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), the square of the Wasserstein-2 distance of two Gaussians.

    Heusel et al., arXiv 1706.08500, eq. 6: of Inception's features this is "FID". It is biased: finite samples of one
    distribution are further than 0 apart, the more so the fewer they are, so only equal counts compare.

    The trace is computed as the sum of square roots of the eigenvalues of R^T S_b R, where S_a = R R^T: symmetric, so
    that it is real and finite for covariances of any rank, where the square root of S_a S_b may be neither.

    Args:
      a, b: moments of at least two examples each; the order does not matter.

    Returns:
      At least 0; NaN where features were not finite.

    Raises:
      ConfigError: the dimensions differ, or a set has fewer than two examples.
    """
    if a.dimension != b.dimension:
        raise ConfigError(f"features of {a.dimension} and of {b.dimension} dimensions cannot be compared")
    mean, first, second = a.mean - b.mean, a.covariance, b.covariance
    if not (np.isfinite(mean).all() and np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    root = _square_root(first)
    eigenvalues = np.linalg.eigvalsh(root.T @ second @ root)
    trace_of_root = np.sqrt(eigenvalues.clip(min=0)).sum()
    # Of equal sets, rounding may leave a little less than nothing.
    return max(0.0, float(mean @ mean + np.trace(first) + np.trace(second) - 2 * trace_of_root))


def _square_root(covariance: np.ndarray) -> np.ndarray:
    """R (d, rank) with R R^T = covariance (d, d).

    Directions without variance are left out: what rounding makes of their zeros, some 1e-16 of the largest eigenvalue,
    would come back as its root, 1e-8, once for each.
    """
    eigenvalues, vectors = np.linalg.eigh(covariance)
    kept = eigenvalues > len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues[-1]
    return vectors[:, kept] * np.sqrt(eigenvalues[kept])
