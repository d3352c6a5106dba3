"""How much of a mixture of Gaussians a model has found."""

from dataclasses import dataclass

import numpy as np


def mixture_coverage(points: np.ndarray, centres: np.ndarray, sigma: float, within: float = 3.0) -> dict[str, float]:
    """Modes found and the share of samples that belong to a mode.

    A sample is of high quality if it lies within `within` standard deviations of the nearest mode; a mode is found if
    it is the nearest of at least one such sample. Srivastava et al., VEEGAN, arXiv 1705.07761, "Synthetic Dataset".

    Args:
      points: float (n, 2).
      centres: float (modes, 2), all distinct.
      sigma: standard deviation of every component.
      within: radius of a mode in standard deviations.

    Returns:
      `modes`, a count, and `high_quality`, a share from 0 to 1. Points that are not finite count as of low quality.
    """
    distances = np.linalg.norm(points[:, None, :].astype(np.float64) - centres[None, :, :], axis=-1)
    is_high_quality = distances.min(axis=1) <= within * sigma
    found = np.unique(distances.argmin(axis=1)[is_high_quality])
    return {"modes": float(len(found)), "high_quality": float(is_high_quality.mean())}


@dataclass(frozen=True)
class MixtureCoverage:
    """`mixture_coverage` of 2,500 samples, the number used by VEEGAN and PacGAN."""

    centres: np.ndarray
    sigma: float
    samples: int = 2500

    @property
    def names(self) -> tuple[str, ...]:
        """What the numbers are called."""
        return "modes", "high_quality"

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """`modes` and `high_quality` of samples (n, 2)."""
        return mixture_coverage(samples, self.centres, self.sigma)
