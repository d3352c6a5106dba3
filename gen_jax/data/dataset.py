"""What a data set is to the rest of the library: two splits, the fields of its examples, and an identity."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

from gen_jax.data.aligned import aligned
from gen_jax.data.field import Field, Kind

Arrays = dict[str, np.ndarray]
INDEX = "index"
RESERVED = (INDEX, "mask")
"""Entries that every batch has, or every batch of an evaluation; no field may be called so."""


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set, held in memory or read on demand; `load` is the same for both.

    Attributes:
        size: how many examples there are.
        arrays: a row for each example, by field: "x" uint8 (size, H, W, C) of images, "label" int32 (size,), …; None
            for a split too large to be decoded up front, which streams. They are read-only, and lie where the devices
            of a CPU share them.
        read: random access for a streaming split: int positions (n,) -> the same keys with n rows. Must be safe to call
            from several threads.
    """

    size: int
    arrays: Arrays | None = None
    read: Callable[[np.ndarray], Arrays] | None = None

    def __post_init__(self) -> None:
        if (self.arrays is None) == (self.read is None):
            raise ValueError("a split is either arrays in memory or a function that reads: give exactly one")
        if self.arrays is not None:
            object.__setattr__(self, "arrays", {name: aligned(array) for name, array in self.arrays.items()})

    @property
    def entries(self) -> tuple[str, ...]:
        """The names of what it gives, without the index. Where it streams, it reads an example to see."""
        return tuple(self.read(np.zeros(1, np.int32)) if self.arrays is None and self.read else self.arrays or ())

    def load(self, indices: np.ndarray) -> Arrays:
        """The examples at the positions `indices` (n,): an array for each field, and "index" int32 (n,)."""
        if self.arrays is not None:
            rows = {name: array[indices] for name, array in self.arrays.items()}
        else:
            assert self.read is not None
            rows = self.read(indices)
        return {**rows, INDEX: np.asarray(indices, np.int32)}


@dataclasses.dataclass(frozen=True)
class Streams:
    """A split, and further ones of their own size and order, whose entries are merged into each batch.

    Attributes:
        main: the split that is counted: its size is that of an epoch and of an evaluation.
        others: by name.
    """

    main: Split
    others: Mapping[str, Split] = dataclasses.field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many examples the main split has."""
        return self.main.size

    def load(self, indices: np.ndarray) -> Arrays:
        """The examples of all splits at the positions `indices` (n,) of the main one.

        Another split gives the same positions of its own; it begins again where it is shorter.
        """
        rows = self.main.load(indices)
        for name, split in self.others.items():
            rows |= of_stream(name, split.load(np.asarray(indices) % split.size))
        return rows


def index_of(stream: str) -> str:
    """What a batch calls the positions of its rows in a further stream."""
    return f"{INDEX}_{stream}"


def of_stream(name: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a further stream as a batch holds them: their positions are "index_NAME"."""
    return {index_of(name) if key == INDEX else key: array for key, array in rows.items()}


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The equally weighted isotropic Gaussians a toy set was drawn from, to count the modes a sampler finds.

    Attributes:
        centres: one mean a row, float32 (K, 2).
        sigma: their common standard deviation.
    """

    centres: Float32[np.ndarray, "modes 2"]
    sigma: float


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set, ready to be drawn from.

    Attributes:
        name: the SPEC it was loaded from.
        train: what is learnt from.
        test: what is held out: the same examples on every machine and for every seed.
        fields: what the entries of a batch are, "x" among them.
        mixture: the Gaussians behind `ring8` and `grid25`.
        fingerprint: 16 hexadecimal digits that identify the content, wherever it is stored.
        skipped: the paths of unreadable images that were left out.
        others: further streams {name: (train, test)}, each of its own size and order. Their entries, all of different
            names, are merged into the batch, and are among `fields`.
    """

    name: str
    train: Split
    test: Split
    fields: Mapping[str, Field]
    fingerprint: str
    mixture: Mixture | None = None
    skipped: tuple[str, ...] = ()
    others: Mapping[str, tuple[Split, Split]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for streams that could not be told apart in a batch."""
        if not self.others:
            return
        taken = {**dict.fromkeys(RESERVED, "every batch"), **dict.fromkeys(self.train.entries, "the main split")}
        taken |= {index_of(name): f"the stream {name!r}" for name in self.others}
        for name, (train, test) in self.others.items():
            if not name.isidentifier():
                raise ValueError(f"a stream is called {name!r}: letters, digits and underscores are accepted")
            if set(train.entries) != set(test.entries):
                raise ValueError(f"the stream {name!r} has {train.entries} to learn from, but holds out {test.entries}")
            for entry in train.entries:
                if entry in taken:
                    raise ValueError(f"the stream {name!r} has an entry {entry!r}, and so has {taken[entry]}")
                if entry not in self.fields:
                    raise ValueError(f"the stream {name!r} has an entry {entry!r}, which is not among the fields")
                taken[entry] = f"the stream {name!r}"

    @property
    def train_streams(self) -> Streams:
        """What is learnt from, with its further streams."""
        return Streams(self.train, {name: train for name, (train, _) in self.others.items()})

    @property
    def test_streams(self) -> Streams:
        """What is held out, with its further streams."""
        return Streams(self.test, {name: test for name, (_, test) in self.others.items()})

    @property
    def shape(self) -> tuple[int, ...]:
        """Of x: (H, W, C) of an image, (2,) of a point, …"""
        return self.fields["x"].shape

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The name of each label 0..K-1; None where there are no labels."""
        return self.fields["label"].classes if "label" in self.fields else None

    @property
    def centres(self) -> np.ndarray | None:
        """The means of the Gaussians behind it, float32 (K, 2); None where there are none."""
        return None if self.mixture is None else self.mixture.centres

    @property
    def kind(self) -> Kind:
        """What an example is."""
        return self.fields["x"].kind


def fingerprint(*parts: object) -> str:
    """16 hexadecimal digits that depend on nothing but `parts` (anything that JSON can write)."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
