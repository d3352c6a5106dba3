"""What an entry of a batch is: its kind, its shape, and the names of what it counts."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

Kind = Literal["image", "points", "series", "audio", "tokens", "table", "label", "attributes", "codes"]
"""What a person would call it; pictures, transforms and measures go by it."""
NAMED_AXIS = ("attributes", "table", "series", "points")
"""Kinds whose names are those of what lies along the last axis; of the others they are those of values."""


@dataclass(frozen=True)
class Field:
    """One entry of a batch.

    Attributes:
      kind: "image": uint8 (height, width, channels), 0..255. "points": float32 (2,). "series": float32 (length,
        channels). "audio": float32 (samples,) in [-1, 1]. "tokens": int32 (length,), each 0..values - 1. "table":
        float32 (columns,). "label": int32 (), one of the classes. "attributes": float32 (attributes,), 0 or 1 each, or
        a degree. "codes": what a codec makes, float32, or int32 where it has `values`.
      shape: of one example.
      names: of classes, words, attributes, columns, channels or coordinates, in order.
      values: how many values an integer may take; None: as many as there are names, or real numbers.
    """

    kind: Kind
    shape: tuple[int, ...] = ()
    names: tuple[str, ...] | None = None
    values: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a kind that is not known, or names that are not as many as what they name."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"a field is one of {', '.join(get_args(Kind))}, not {self.kind!r}")
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.names is not None:
            object.__setattr__(self, "names", tuple(self.names))
            named = self.shape[-1] if self.kind in NAMED_AXIS and self.shape else self.size
            if named is not None and named != len(self.names):
                raise ValueError(f"{self.kind} of {named} has {len(self.names)} names")

    @property
    def size(self) -> int | None:
        """How many values an integer may take; None where the entry has real numbers, or nobody said."""
        if self.kind in ("label", "tokens") and self.values is None:
            return None if self.names is None else len(self.names)
        return self.values

    @property
    def dtype(self) -> np.dtype:
        """Of the entry as it is stored."""
        if self.kind == "image":
            return np.dtype(np.uint8)
        if self.kind in ("label", "tokens") or (self.kind == "codes" and self.values is not None):
            return np.dtype(np.int32)
        return np.dtype(np.float32)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of what an integer counts; numbers where they have none."""
        return self.names if self.names is not None else tuple(map(str, range(self.size or 0)))

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it: tuples become lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Field":
        """What `as_json` stored."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**fields)


def labelled(x: Field, class_names: Sequence[str] | None = None) -> dict[str, Field]:
    """The fields of examples x that may have a label."""
    return {"x": x} if class_names is None else {"x": x, "label": Field("label", (), tuple(class_names))}


def image_fields(shape: Sequence[int], class_names: Sequence[str] | None = None) -> dict[str, Field]:
    """The fields of images (height, width, channels) that may have a label."""
    return labelled(Field("image", tuple(shape)), class_names)


def point_fields(class_names: Sequence[str] | None = None) -> dict[str, Field]:
    """The fields of points of the plane that may have a label."""
    return labelled(Field("points", (2,)), class_names)
