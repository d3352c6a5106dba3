"""What a method has to know of its data; stored with the run, so that sampling needs no data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gen_jax.data.field import Field, image_fields, point_fields

if TYPE_CHECKING:
    from gen_jax.data.dataset import Dataset


SIZES = ("train_size", "held_out_size", "fingerprint")


@dataclass(frozen=True)
class DataInfo:
    """A description of a data set.

    Attributes:
      name: the SPEC.
      fields: the entries of a batch, "x" among them, beside "index", which every batch has.
      train_size: number of training examples.
      held_out_size: number of held-out examples.
      fingerprint: tells one content from another.
      streams: further sets of examples, each of its own size and order: {name: (training, held-out examples)}. Their
        fields are among `fields`.
    """

    name: str
    fields: Mapping[str, Field]
    train_size: int
    held_out_size: int
    fingerprint: str
    streams: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: "Dataset") -> "DataInfo":
        """Describes a loaded data set."""
        return cls(
            name=dataset.name,
            fields=dataset.fields,
            train_size=dataset.train.size,
            held_out_size=dataset.test.size,
            fingerprint=dataset.fingerprint,
            streams={name: (train.size, test.size) for name, (train, test) in dataset.others.items()},
        )

    @property
    def x(self) -> Field:
        """What an example is."""
        return self.fields["x"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of x: (height, width, channels) of an image, (2,) of a point, …"""
        return self.x.shape

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Of the labels 0, 1, …, or None where there are none."""
        return self.fields["label"].classes if "label" in self.fields else None

    @property
    def is_image(self) -> bool:
        """Whether x is an image."""
        return self.x.kind == "image"

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it. Images and points that may have a label are written as before there were fields.

        So runs of that time are the same runs still.
        """
        names = self.fields["label"].names if "label" in self.fields else None
        rest = {
            "train_size": self.train_size,
            "held_out_size": self.held_out_size,
            "fingerprint": self.fingerprint,
        }
        if not self.streams and dict(self.fields) == _fields_of(self.shape, names):
            class_names = None if names is None else list(names)
            return {"name": self.name, "shape": list(self.shape), "class_names": class_names, **rest}
        fields = {name: one.as_json() for name, one in self.fields.items()}
        streams = {name: list(sizes) for name, sizes in self.streams.items()}
        return {"name": self.name, "fields": fields, **rest, "streams": streams}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "DataInfo":
        """What `as_json` stored.

        Raises:
          KeyError, TypeError, ValueError: it did not.
        """
        unknown = stored.keys() - {"name", "shape", "class_names", "fields", "streams", *SIZES}
        if unknown:
            raise KeyError(f"{', '.join(sorted(unknown))} is not known")
        if "fields" in stored:
            fields = {name: Field.from_json(one) for name, one in stored["fields"].items()}
        else:
            fields = _fields_of(tuple(stored["shape"]), stored["class_names"])
        return cls(
            name=stored["name"],
            fields=fields,
            train_size=stored["train_size"],
            held_out_size=stored["held_out_size"],
            fingerprint=stored["fingerprint"],
            streams={name: (sizes[0], sizes[1]) for name, sizes in stored.get("streams", {}).items()},
        )


def _fields_of(shape: tuple[int, ...], class_names: Any) -> dict[str, Field]:
    """Of images or points."""
    return image_fields(shape, class_names) if len(shape) == 3 else point_fields(class_names)
