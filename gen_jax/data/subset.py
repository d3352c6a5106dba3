"""Fewer training examples than there are: for learning curves, and for few labels."""

import dataclasses

import numpy as np

from gen_jax.data.dataset import Arrays, Dataset, Split, fingerprint
from gen_jax.errors import ConfigError


def subset(dataset: Dataset, count: int | None) -> Dataset:
    """The same data set with so many training examples, always the same ones; of each class as many, give or take one.

    Args:
      dataset: with labels in memory, or without labels.
      count: how many; None: all.

    Raises:
      ConfigError: there are not so many, or not one for each class.
    """
    if count is None:
        return dataset
    train, classes = dataset.train, len(dataset.class_names or ())
    if not max(1, classes) <= count <= train.size:
        raise ConfigError(
            f"--examples is {count}; accepted: a number from {max(1, classes)} to {train.size}, "
            f"the number of training examples in {dataset.name}"
        )
    rng = np.random.default_rng(0)
    order = rng.permutation(train.size)
    if train.arrays is not None and "label" in train.arrays:
        label = train.arrays["label"][order]
        # The first of each class, then the second of each, …
        rank = np.empty(train.size, np.int64)
        for k in range(classes):
            rank[label == k] = np.arange(np.sum(label == k))
        order = order[np.argsort(rank, kind="stable")]
    chosen = np.sort(order[:count])
    return dataclasses.replace(
        dataset, train=_part(train, chosen), fingerprint=fingerprint(dataset.fingerprint, "examples", count)
    )


def _part(split: Split, chosen: np.ndarray) -> Split:
    if split.arrays is not None:
        return Split(len(chosen), {name: array[chosen] for name, array in split.arrays.items()})
    read = split.read
    assert read is not None

    def read_chosen(indices: np.ndarray) -> Arrays:
        return read(chosen[indices])

    return Split(len(chosen), read=read_chosen)
