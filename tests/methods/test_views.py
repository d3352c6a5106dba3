import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import geometric_slerp

from gen_jax.methods.views import (
    COLUMNS,
    ROWS,
    column_steps,
    flatten,
    rows_of,
    spherical_path,
    straight_path,
    unflatten,
)

START, END = np.random.default_rng(0).normal(size=(2, 4, 6))


def test_path_between_unit_vectors_is_scipys():
    start, end = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (START, END))
    found = spherical_path(jnp.asarray(start, jnp.float32), jnp.asarray(end, jnp.float32), 7)
    expected = np.stack([geometric_slerp(a, b, np.linspace(0, 1, 7)) for a, b in zip(start, end, strict=True)])
    assert found.shape == (4, 7, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_path_begins_and_ends_where_it_should_whatever_the_lengths():
    path = spherical_path(jnp.asarray(START, jnp.float32), jnp.asarray(9 * END, jnp.float32))
    assert path.shape == (4, COLUMNS, 6)
    np.testing.assert_allclose(path[:, 0], START, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(path[:, -1], 9 * END, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0])
def test_latents_in_line_are_joined_by_a_straight_line(factor):
    start = jnp.asarray(START, jnp.float32)
    path = spherical_path(start, factor * start, 5)
    np.testing.assert_allclose(path, straight_path(start, factor * start, 5), rtol=1e-5, atol=1e-6)


def test_straight_path_mixes_images_in_equal_steps():
    start, end = jnp.zeros((2, 3, 3, 1)), jnp.ones((2, 3, 3, 1))
    path = straight_path(start, end, 5)
    assert path.shape == (2, 5, 3, 3, 1)
    np.testing.assert_allclose(path[1, :, 2, 0, 0], [0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("steps", "columns", "expected"),
    [(4, 10, [4, 3, 2, 1, 0]), (9, 4, [9, 6, 3, 0]), (1000, 3, [1000, 500, 0]), (1, 10, [1, 0])],
)
def test_columns_look_at_a_chain_from_its_beginning_to_its_end(steps, columns, expected):
    np.testing.assert_array_equal(column_steps(steps, columns), expected)


def test_rows_go_through_a_network_and_come_back():
    rows = jax.random.normal(jax.random.key(0), (3, 4, 2, 2))
    assert flatten(rows).shape == (12, 2, 2)
    np.testing.assert_array_equal(flatten(rows)[5], rows[1, 1])
    np.testing.assert_array_equal(unflatten(flatten(rows), 4), rows)


@pytest.mark.parametrize("batch", [3, 8, 20])
def test_no_more_rows_than_examples(batch):
    assert len(rows_of(jnp.zeros((batch, 2)))) == min(batch, ROWS)
