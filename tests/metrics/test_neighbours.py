import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from gen_jax.errors import ConfigError
from gen_jax.metrics import neighbours
from gen_jax.metrics.neighbours import nearest


def features(n: int, seed: int, d: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


@pytest.mark.parametrize(("count", "d"), [(1, 8), (5, 8), (3, 300)])
def test_agrees_with_brute_force(count, d):
    queries, references = features(150, 0, d), features(700, 1, d)
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(references.astype(np.float64))
    expected_distances, expected_indices = search.kneighbors(queries.astype(np.float64))
    distances, indices = nearest(queries, references, count)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    assert distances.dtype == np.float64


def test_many_blocks_give_what_one_gives(monkeypatch):
    queries, references = features(50, 0), features(80, 1)
    whole = nearest(queries, references, 4)
    monkeypatch.setattr(neighbours, "_BLOCK", 80 * 7)
    monkeypatch.setattr(neighbours, "_PAIRS", 24)
    parts = nearest(queries, references, 4)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_pixels_are_compared_as_numbers(digit_pixels):
    queries, references = digit_pixels[:100], digit_pixels[100:600]
    squares = ((queries[:, None].astype(int) - references[None].astype(int)) ** 2).sum(axis=-1)
    distances, indices = nearest(queries, references, 2)
    np.testing.assert_array_equal(distances, np.sqrt(np.sort(squares, axis=1)[:, :2]))
    np.testing.assert_array_equal(indices, np.argsort(squares, axis=1, kind="stable")[:, :2])


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_an_identical_row_is_at_no_distance_at_all(shift):
    references = features(300, 0, 50) + np.float32(shift)
    distances, indices = nearest(references[40:60], references)
    assert (distances == 0).all()
    np.testing.assert_array_equal(indices[:, 0], np.arange(40, 60))


def test_what_float32_cannot_tell_apart_is_told_apart():
    # Of two clusters so far from their centre, squared distances in float32 are off by more than they are large.
    generator = np.random.default_rng(0)
    cluster, queries = generator.standard_normal((200, 3)), generator.standard_normal((50, 3))
    far = np.array([5000.0, 3000.0, -4000.0])
    expected_distances, expected_indices = NearestNeighbors(n_neighbors=2).fit(cluster).kneighbors(queries)
    distances, indices = nearest(queries + far, np.concatenate([cluster + far, cluster - far]), 2)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-9)


def test_equally_near_references_are_found_in_order():
    references = np.array([[1.0], [-1.0], [1.0], [5.0]])
    distances, indices = nearest(np.zeros((3, 1)), references, 4)
    np.testing.assert_array_equal(indices, [[0, 1, 2, 3]] * 3)
    np.testing.assert_array_equal(distances, [[1, 1, 1, 5]] * 3)


def test_repeated_queries_are_all_answered():
    queries = features(20, 0)[np.array([3, 1, 3, 3, 0])]
    distances, indices = nearest(queries, features(90, 1), 2)
    np.testing.assert_array_equal(indices[[0, 0]], indices[[2, 3]])
    for row in range(5):
        np.testing.assert_array_equal(distances[row : row + 1], nearest(queries[row : row + 1], features(90, 1), 2)[0])


def test_what_cannot_be_searched_is_refused():
    for count in (0, 6):
        with pytest.raises(ConfigError, match=f"{count} neighbours were asked for; accepted: 1 to 5"):
            nearest(features(3, 0), features(5, 1), count)
    with pytest.raises(ConfigError, match="cannot be compared"):
        nearest(features(3, 0), features(5, 1, d=9))
    with pytest.raises(ConfigError, match="not finite"):
        nearest(features(3, 0) * np.nan, features(5, 1))
