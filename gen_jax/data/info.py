"""What a method has to know of its data; stored with the run, so that sampling needs no data set."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gen_jax.data.dataset import Dataset


@dataclass(frozen=True)
class DataInfo:
    """A description of a data set.

    Attributes:
      name: the SPEC.
      shape: of one example: (height, width, channels) of an image, (2,) of a point.
      class_names: of the labels 0, 1, …, or None where there are none.
      train_size: number of training examples.
      held_out_size: number of held-out examples.
      fingerprint: tells one content from another.
    """

    name: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...] | None
    train_size: int
    held_out_size: int
    fingerprint: str

    @classmethod
    def of(cls, dataset: "Dataset") -> "DataInfo":
        """Describes a loaded data set."""
        return cls(
            name=dataset.name,
            shape=dataset.shape,
            class_names=dataset.class_names,
            train_size=dataset.train.size,
            held_out_size=dataset.test.size,
            fingerprint=dataset.fingerprint,
        )

    @property
    def is_image(self) -> bool:
        """Whether the examples are images rather than points."""
        return len(self.shape) == 3

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it: tuples become lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "DataInfo":
        """What `as_json` stored."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**fields)
