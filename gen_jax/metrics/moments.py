"""The mean and covariance of features, streamed: all that the Fréchet distance needs of a set."""

from collections.abc import Mapping

import numpy as np

from gen_jax.errors import ConfigError

# Features that `Moments.of` converts to float64 at once.
_ROWS = 4096


class Moments:
    """Count, mean and covariance of a set of which only a batch is ever held.

    Batches are joined as by Chan, Golub and LeVeque ("Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979): each brings its sum of squares about its own mean, so nothing large is ever
    subtracted from something as large. All in float64; memory is d x d whatever the count.

    Attributes:
      count: how many examples were added.
      mean: float64 (d,); zeros before the first.
      scatter: float64 (d, d), the sum over examples of the outer product of their deviation from the mean.
    """

    def __init__(self, dimension: int):
        self.count = 0
        self.mean = np.zeros(dimension)
        self.scatter = np.zeros((dimension, dimension))

    @classmethod
    def of(cls, features: np.ndarray) -> "Moments":
        """The moments of features (n, d) that are all there."""
        moments = cls(features.shape[-1])
        for start in range(0, len(features), _ROWS):
            moments.add(features[start : start + _ROWS])
        return moments

    @property
    def dimension(self) -> int:
        """How many features there are."""
        return len(self.mean)

    @property
    def covariance(self) -> np.ndarray:
        """float64 (d, d), unbiased: divided by count - 1, as `np.cov` does.

        Raises:
          ConfigError: of fewer than two examples.
        """
        if self.count < 2:
            raise ConfigError(f"there are {self.count} samples; a covariance needs at least 2")
        return self.scatter / (self.count - 1)

    def add(self, features: np.ndarray) -> None:
        """Takes in a batch (n, d); one of none changes nothing.

        Raises:
          ConfigError: it has not d features an example.
        """
        if features.ndim != 2 or features.shape[1] != self.dimension:
            raise ConfigError(f"features have the shape {features.shape}; accepted: (n, {self.dimension})")
        if len(features) == 0:
            return
        batch = Moments(self.dimension)
        batch.count = len(features)
        batch.mean = features.mean(axis=0, dtype=np.float64)
        deviations = features - batch.mean
        batch.scatter = deviations.T @ deviations
        self.merge(batch)

    def merge(self, other: "Moments") -> None:
        """Takes in all that `other` was made of, as if it had been added here.

        Raises:
          ConfigError: it has another dimension.
        """
        if other.dimension != self.dimension:
            raise ConfigError(f"moments of {other.dimension} features cannot be merged into those of {self.dimension}")
        count = self.count + other.count
        if count == 0:
            return
        difference = other.mean - self.mean
        share = other.count / count
        self.scatter = self.scatter + other.scatter + np.outer(difference, difference) * (self.count * share)
        self.mean = self.mean + difference * share
        self.count = count

    def as_arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` takes back, for a file such as `np.savez` writes."""
        return {"count": np.array(self.count), "mean": self.mean, "scatter": self.scatter}

    @classmethod
    def from_arrays(cls, stored: Mapping[str, np.ndarray]) -> "Moments":
        """What `as_arrays` gave.

        Raises:
          KeyError, ValueError: it did not.
        """
        mean, scatter = np.asarray(stored["mean"], np.float64), np.asarray(stored["scatter"], np.float64)
        if mean.ndim != 1 or scatter.shape != 2 * mean.shape:
            raise ValueError(f"these are no moments: mean {mean.shape}, scatter {scatter.shape}")
        moments = cls(len(mean))
        moments.count, moments.mean, moments.scatter = int(stored["count"].item()), mean, scatter
        return moments
