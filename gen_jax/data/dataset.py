"""What a data set is to the rest of the library: two splits, a shape, and an identity."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float32

from gen_jax.data.aligned import aligned
from gen_jax.data.field import Field, Kind

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set, held in memory or read on demand; `load` is the same for both.

    Attributes:
        size: how many examples there are.
        arrays: "x" uint8 (size, H, W, C) or float32 (size, 2), and where there are labels "label" int32 (size,);
            None for a split too large to be decoded up front, which streams. They are read-only, and lie where the
            devices of a CPU share them.
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

    def load(self, indices: np.ndarray) -> Arrays:
        """The examples at the positions `indices` (n,): "x", "label" where there are labels, and "index" int32 (n,)."""
        if self.arrays is not None:
            rows = {name: array[indices] for name, array in self.arrays.items()}
        else:
            assert self.read is not None
            rows = self.read(indices)
        return {**rows, "index": np.asarray(indices, np.int32)}


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
        others: further streams {name: (train, test)}, each of its own size and order; their entries are merged into the
            batch, and are among `fields`.
    """

    name: str
    train: Split
    test: Split
    fields: Mapping[str, Field]
    fingerprint: str
    mixture: Mixture | None = None
    skipped: tuple[str, ...] = ()
    others: Mapping[str, tuple[Split, Split]] = dataclasses.field(default_factory=dict)

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
