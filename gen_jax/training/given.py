"""What is asked of samples: from words, numbers and arrays to what a game takes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_jax.data.field import Field
from gen_jax.errors import ConfigError, nearest
from gen_jax.training.game import Game

MOST_NAMED = 12
"""Names that a message lists in full."""


def encoded(game: Game, given: Mapping[str, Any], n: int) -> dict[str, np.ndarray]:
    """What is given for n samples as arrays (n, *shape) of the fields' dtypes.

    Args:
      game: says what may be given.
      given: by name. A value for all samples, or one for each: a class by name or number, words, attributes by name,
        numbers, arrays. None counts as not given.
      n: how many samples.

    Raises:
      ConfigError: the game takes no such thing, or no such value; or somebody has to give what nobody gave.
    """
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in game.given:
            raise ConfigError(
                f"--{name.replace('_', '-')} does not apply: this run takes {listed(game.given) or 'no conditions'}"
            )
    for name, taken in game.given.items():
        if taken.draw is None and name not in given:
            raise ConfigError(f"--{name.replace('_', '-')} is missing: this run makes no sample without it")
    return {name: _rows(name, game.given[name].field, value, n) for name, value in given.items()}


def listed(names: Mapping[str, Any]) -> str:
    """--label, --text: options as they are typed."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _rows(name: str, field: Field, value: Any, n: int) -> np.ndarray:
    """A value for each of n samples."""
    if isinstance(value, (list, tuple)) and any(isinstance(one, str) for one in value):
        rows = np.stack([_of_words(name, field, one) for one in value])
    elif isinstance(value, str):
        rows = _of_words(name, field, value)
    else:
        rows = _of_numbers(name, field, value)
    if rows.shape == field.shape:
        return np.broadcast_to(rows, (n, *field.shape))
    if rows.shape != (n, *field.shape):
        each = (n, *field.shape)
        raise ConfigError(f"{name} has shape {rows.shape}; accepted: {field.shape}, or one for each sample, {each}")
    return rows


def _of_words(name: str, field: Field, value: Any) -> np.ndarray:
    """A value that a person has typed."""
    if not isinstance(value, str):
        return _of_numbers(name, field, value)
    if field.kind == "label":
        if value in field.classes:
            return np.asarray(field.classes.index(value), np.int32)
        if value.lstrip("-").isdecimal():
            return _of_numbers(name, field, int(value))
        raise ConfigError(f"{name} is {value!r}{nearest(value, field.classes)}; accepted: {_classes(field)}")
    if field.kind == "tokens" and field.names is not None:
        words = value.split()
        unknown = next((word for word in words if word not in field.names), None)
        if unknown is not None:
            raise ConfigError(f"{name} has the word {unknown!r}{nearest(unknown, field.names)}, which is not known")
        if len(words) > field.shape[0]:
            raise ConfigError(f"{name} has {len(words)} words; accepted: at most {field.shape[0]}")
        # The first word of a vocabulary is that of nothing.
        return np.array([field.names.index(word) for word in words] + [0] * (field.shape[0] - len(words)), np.int32)
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if field.kind == "attributes" and field.names is not None and any(part in field.names for part in parts):
        unknown = next((part for part in parts if part not in field.names), None)
        if unknown is not None:
            raise ConfigError(f"{name} has {unknown!r}{nearest(unknown, field.names)}; accepted: {_named(field.names)}")
        return np.array([one in parts for one in field.names], np.float32)
    try:
        return _of_numbers(name, field, np.array([float(part) for part in parts]).reshape(field.shape))
    except ValueError as error:
        what = _named(field.names) if field.names else f"numbers of shape {field.shape}, with commas between"
        raise ConfigError(f"{name} is {value!r}; accepted: {what}") from error


def _of_numbers(name: str, field: Field, value: Any) -> np.ndarray:
    """Numbers, or an array of them, of one sample or several."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ConfigError(f"{name} is {value!r}; accepted: numbers of shape {field.shape}")
    if field.size is not None:
        if array.dtype.kind == "f" or array.size == 0 or array.min() < 0 or array.max() >= field.size:
            raise ConfigError(f"{name} is {value if array.ndim == 0 else 'an array'}; accepted: {_classes(field)}")
    elif not np.isfinite(array).all():
        raise ConfigError(f"{name} has numbers that are not finite")
    return array.astype(field.dtype)


def _classes(field: Field) -> str:
    numbers = f"0 to {(field.size or 0) - 1}"
    names = field.classes
    return numbers if names == tuple(map(str, range(len(names)))) else f"{numbers}, or {_named(names)}"


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f", … ({len(names)} in all)" if len(names) > MOST_NAMED else "")
