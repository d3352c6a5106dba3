import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gen_jax.data.shuffle import batch_indices, permuted

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 1000, 1023, 1024, 1025, 1797, 60_000, 65_535, 65_536, 65_537]


@pytest.mark.parametrize("size", SIZES)
def test_is_a_permutation(size):
    for seed in range(3):
        images = np.asarray(permuted(jnp.arange(size), size, jax.random.key(seed)))
        assert images.dtype == np.int32
        np.testing.assert_array_equal(np.sort(images), np.arange(size))


@pytest.mark.parametrize("size", [2**31 - 1, 2**30, 2**30 + 1])
def test_large_sizes_stay_inside_and_do_not_collide(size):
    index = jnp.concatenate([jnp.arange(5000), size - 1 - jnp.arange(5000)])
    images = np.asarray(permuted(index, size, jax.random.key(0)))
    assert images.min() >= 0
    assert images.max() < size
    assert len(np.unique(images)) == 10_000


def test_keys_and_their_words_give_the_same_permutation():
    key = jax.random.key(3)
    np.testing.assert_array_equal(
        permuted(jnp.arange(100), 100, key), permuted(jnp.arange(100), 100, jax.random.key_data(key))
    )


def test_a_traced_size_gives_the_same_permutation():
    traced = jax.jit(permuted)
    static = jax.jit(permuted.__wrapped__, static_argnums=1)
    for size in [1, 3, 64, 1000]:
        index = jnp.arange(64) % size
        np.testing.assert_array_equal(traced(index, size, jax.random.key(0)), static(index, size, jax.random.key(0)))


def test_vmap_over_positions_and_keys():
    keys = jax.random.split(jax.random.key(0), 4)
    index = jnp.arange(37)
    whole = np.stack([permuted(index, 37, key) for key in keys])
    np.testing.assert_array_equal(jax.vmap(lambda key: permuted(index, 37, key))(keys), whole)
    one_by_one = jax.vmap(lambda i: permuted(i, 37, keys[0]))(index)
    np.testing.assert_array_equal(one_by_one, whole[0])


def test_every_permutation_of_three_is_as_likely_as_the_others():
    keys = jax.random.split(jax.random.key(0), 6000)
    orders = np.asarray(jax.vmap(lambda key: permuted(jnp.arange(3), 3, key))(keys))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("size", [10, 16, 100])
def test_where_an_element_goes_is_uniform(size):
    keys = jax.random.split(jax.random.key(1), 200 * size)
    images = np.asarray(jax.vmap(lambda key: permuted(jnp.arange(size), size, key))(keys))
    for i in (0, 1, size // 2, size - 1):
        assert scipy.stats.chisquare(np.bincount(images[:, i], minlength=size)).pvalue > 1e-3


def test_where_two_neighbours_go_is_unrelated():
    size = 10
    keys = jax.random.split(jax.random.key(2), 18_000)
    images = np.asarray(jax.vmap(lambda key: permuted(jnp.arange(2), size, key))(keys))
    pairs = np.bincount(images[:, 0] * size + images[:, 1], minlength=size**2).reshape(size, size)
    assert (np.diag(pairs) == 0).all()
    assert scipy.stats.chisquare(pairs[~np.eye(size, dtype=bool)]).pvalue > 1e-3


def test_a_large_permutation_looks_random():
    images = np.asarray(permuted(jnp.arange(60_000), 60_000, jax.random.key(0)))
    assert abs(scipy.stats.spearmanr(np.arange(60_000), images).statistic) < 0.02
    # Of a random permutation's fixed points there is one on average, Poisson distributed.
    assert np.sum(images == np.arange(60_000)) < 8
    # A sixteenth of the images of the first tenth lie in each sixteenth of the range.
    assert scipy.stats.chisquare(np.bincount(images[:6000] // 3750, minlength=16)).pvalue > 1e-3


@pytest.mark.parametrize(("size", "batch_size"), [(12, 4), (13, 4), (5, 5), (7, 1), (1, 1)])
def test_an_epochs_batches_do_not_overlap_and_leave_out_the_remainder_only(size, batch_size):
    batches = size // batch_size
    for epoch in range(4):
        numbers = range(epoch * batches, (epoch + 1) * batches)
        seen = np.concatenate([batch_indices(0, n, batch_size, size) for n in numbers])
        assert len(np.unique(seen)) == len(seen) == batches * batch_size
        assert seen.min() >= 0
        assert seen.max() < size


def test_epochs_differ_in_order_and_in_what_they_leave_out():
    epochs = [np.concatenate([batch_indices(0, 3 * e + b, 30, 100) for b in range(3)]) for e in range(20)]
    assert len({tuple(epoch) for epoch in epochs}) == 20
    assert len({frozenset(range(100)) - frozenset(epoch.tolist()) for epoch in epochs}) == 20


def test_seeds_differ():
    assert not np.array_equal(batch_indices(0, 0, 50, 100), batch_indices(1, 0, 50, 100))


def test_a_traced_number_gives_the_same_batch():
    traced = jax.jit(lambda number: batch_indices(7, number, 8, 100))
    for number in [0, 1, 11, 12, 13, 5000]:
        np.testing.assert_array_equal(traced(number), batch_indices(7, number, 8, 100))
    stacked = jax.vmap(lambda number: batch_indices(7, number, 8, 100))(jnp.arange(13))
    np.testing.assert_array_equal(stacked[12], batch_indices(7, 12, 8, 100))


@pytest.mark.parametrize("size", [64, 60_000, 2**31 - 1])
def test_the_last_batch_an_int32_can_count(size):
    index = np.asarray(batch_indices(0, 2**31 - 1, 64, size))
    assert len(np.unique(index)) == 64
    assert index.min() >= 0
    assert index.max() < size


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="between 1 and the number of examples, 10"):
        batch_indices(0, 0, 11, 10)


def test_the_order_is_pinned():
    # A run that continues under a new release must see the data in the order it began with.
    assert batch_indices(0, 0, 5, 60_000).tolist() == [53974, 51968, 56468, 13819, 47060]
