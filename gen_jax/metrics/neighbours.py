"""Exact nearest neighbours."""

from collections.abc import Iterator

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
