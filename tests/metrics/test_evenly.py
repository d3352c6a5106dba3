import numpy as np
import pytest

from gen_jax.metrics.evenly import evenly_spread, thinned


@pytest.mark.parametrize(("size", "most"), [(10, 10), (10, 20), (100, 7), (100, 2), (1, 5)])
def test_positions_have_both_ends_and_equal_gaps(size, most):
    positions = evenly_spread(size, most)
    assert len(positions) == min(size, most)
    assert positions[0] == 0
    assert positions[-1] == size - 1
    assert len(positions) < 3 or np.ptp(np.diff(positions)) <= 1


def test_of_nothing_there_are_none():
    assert evenly_spread(0, 5).tolist() == []


def test_items_are_chosen_likewise():
    assert thinned("abcdefghijk", 3) == ["a", "f", "k"]
    assert thinned([3, 4], 5) == [3, 4]
