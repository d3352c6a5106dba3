"""Conditions: entries of the data that networks are given, as rows of numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from gen_jax.data.field import Field
from gen_jax.training.game import Array, Given


@dataclass(frozen=True)
class Conditions:
    """What networks are told beside x.

    Attributes:
      fields: the entries, by name; none for a model without conditions.
    """

    fields: Mapping[str, Field]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the entries."""
        return tuple(self.fields)

    @property
    def drawn(self) -> dict[str, Given]:
        """The same as what may be asked of a sample. A label that nobody asks for is each class as often."""
        return {name: Given(field, drawer(field)) for name, field in self.fields.items()}

    def of(self, batch: Mapping[str, Array]) -> tuple[Array, ...]:
        """All conditions of a batch side by side, (batch, numbers), labels one-hot; () where there are none.

        So that `net(x, *conditions.of(batch))` is right either way.
        """
        if not self.fields:
            return ()
        rows = [numbers(field, batch[name]) for name, field in self.fields.items()]
        return (jnp.concatenate(rows, axis=1),)


def numbers(field: Field, values: Array) -> Array:
    """A field (batch, *shape) as float32 rows (batch, numbers): integers one-hot, the rest as it is."""
    if field.size is not None:
        values = jax.nn.one_hot(values, field.size)
    return values.reshape(len(values), -1).astype(jnp.float32)


def drawer(field: Field) -> Callable[[Array, int], Array] | None:
    """(key, n) -> n labels, uniform over the classes; None for what has no such distribution."""
    size = field.size
    if field.kind != "label" or size is None:
        return None
    return lambda key, n: jax.random.randint(key, (n,), 0, size, jnp.int32)
