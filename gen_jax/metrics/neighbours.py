"""Exact nearest neighbours, and whether samples are copies of the training set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import ConfigError

# Distances that are held at once: 64 MiB in float32; and coordinates of pairs: 32 MiB in float64.
_BLOCK = 2**24
_PAIRS = 2**22


def nearest(queries: np.ndarray, references: np.ndarray, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The nearest references of each query, by Euclidean distance, exactly.

    Args:
      queries, references: (n, d) and (m, d), real numbers of any type: uint8 pixels, flattened, or features.
      count: how many, at most m.

    Returns:
      Distances float64 (n, count), the smallest first, exactly 0 for equal rows; indices int (n, count) of references,
      of equally near ones the lower first. A query that is itself a reference finds itself.

    Raises:
      ConfigError: the dimensions differ, a number is not finite, or there are fewer references than `count`.
    """
    if not 1 <= count <= len(references):
        raise ConfigError(
            f"{count} neighbours were asked for; accepted: 1 to {len(references)}, the number of references"
        )
    # A collapsed generator repeats itself: no row is looked up twice.
    as_bytes = np.ascontiguousarray(queries).view(np.dtype((np.void, queries.dtype.itemsize * queries.shape[1])))
    _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
    queries = queries[first]
    distances = np.empty((len(queries), count))
    indices = np.empty((len(queries), count), np.int64)
    # The count-th smallest of the minima of groups is at least the count-th smallest of all, and soon found.
    groups = np.arange(0, len(references), max(1, len(references) // (64 * count)))
    for start, squares, error in squared_distance_blocks(queries, references):
        enough = np.partition(np.minimum.reduceat(squares, groups, axis=1), count - 1)[:, count - 1, None]
        # Whoever is among the nearest is measured closer than `enough`, but for both their errors.
        rows, columns = np.nonzero(squares <= enough + 2 * error)
        exact = distances_of_pairs(queries, references, rows + start, columns)
        order = np.lexsort((columns, exact, rows))
        places = np.searchsorted(rows, np.arange(len(squares)))[:, None] + np.arange(count)
        found = slice(start, start + len(squares))
        distances[found], indices[found] = exact[order][places], columns[order][places]
    return distances[inverse.ravel()], indices[inverse.ravel()]


def squared_distance_blocks(
    queries: np.ndarray, references: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """All squared distances of (n, d) to (m, d), a block of queries at a time, in float32 on the device.

    Yields:
      The first query of the block, squared distances float32 (rows, m), and float32 (rows, 1): how far from the truth,
      at most, any of the row is. Rounding may make them less than 0.

    Raises:
      ConfigError: the dimensions differ, or a number is not finite.
    """
    if queries.shape[1:] != references.shape[1:]:
        raise ConfigError(f"shapes {queries.shape[1:]} and {references.shape[1:]} cannot be compared")
    if not (np.isfinite(queries).all() and np.isfinite(references).all()):
        raise ConfigError("features are not finite: their distances are not defined")
    # About their centre, numbers are small and so is the error.
    centre = references.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = jnp.asarray(references - centre, jnp.float32)
    furthest = jnp.linalg.norm(centred, axis=1).max()
    step = max(1, _BLOCK // len(references))
    for start in range(0, len(queries), step):
        block = jnp.asarray(queries[start : start + step] - centre, jnp.float32)
        squares, error = _squared_distances(block, centred, furthest)
        yield start, np.asarray(squares), np.asarray(error)


@jax.jit
def _squared_distances(queries: jax.Array, references: jax.Array, furthest: jax.Array) -> tuple[jax.Array, jax.Array]:
    # Accelerators would multiply in fewer bits than they add if not told otherwise.
    products = jnp.matmul(queries, references.T, precision=jax.lax.Precision.HIGHEST)
    of_queries, of_references = jnp.sum(queries**2, axis=1)[:, None], jnp.sum(references**2, axis=1)[None]
    # A sum of d products is off by at most d roundings of the sum of their sizes (Higham, "Accuracy and Stability of
    # Numerical Algorithms", section 3.1); that of centring and of the additions is below 8; epsilon is two roundings.
    terms = queries.shape[1] + 8
    error = terms * jnp.finfo(jnp.float32).eps * (jnp.sqrt(of_queries) + furthest) ** 2
    return of_queries + of_references - 2 * products, error


def distances_of_pairs(
    queries: np.ndarray, references: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Distances float64 (pairs,) of queries[rows] from references[columns], from their differences."""
    distances = np.empty(len(rows))
    step = max(1, _PAIRS // queries.shape[1])
    for start in range(0, len(rows), step):
        pairs = slice(start, start + step)
        differences = queries[rows[pairs]].astype(np.float64) - references[columns[pairs]]
        distances[pairs] = np.sqrt(np.einsum("nd,nd->n", differences, differences))
    return distances


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

    In pixels, smooth images are close to everything: there a blurry model has a small ratio and a small z, too, but
    copies nothing. `copied` knows the difference, and features know it better.

    Attributes:
      distance_ratio: mean distance to the nearest training example, divided by that of held-out data: 0 of copies, 1 of
        samples as far as unseen data. NaN where the held-out data are training data.
      z: standard score of the Mann-Whitney statistic of the two sets of distances: far below 0 of copies, far above of
        samples unlike the data. Meehan et al., arXiv 2004.05675, Z_U, with all of space as one cell. Grows with counts.
      farther: the same as a share: how often a sample is farther from the training set than a held-out example, 0 to 1;
        0.5 where the distances are distributed alike.
      copied: share of samples no more than a third as far from the nearest training example as from the second nearest.
        Yoon et al., "Diffusion Probabilistic Models Generalize when They Fail to Memorize", 2023.
      held_out_copied: the same of held-out data.
      authenticity: share of samples farther from their nearest training example than that is from another one.
        Alaa et al., arXiv 2102.08921. Unseen data have no more than about a half: compare with the next.
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
