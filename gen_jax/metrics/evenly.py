"""A few of many, from all over: the first would not do, since folders are sorted by class and curves go on."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def evenly_spread(size: int, most: int) -> np.ndarray:
    """At most `most` of the positions 0 to size - 1, in order, int64; both ends where there are two or more."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def thinned(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, chosen likewise."""
    return [items[position] for position in evenly_spread(len(items), most)]
