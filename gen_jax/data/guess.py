"""What an array of rows is: its kind, stated or guessed from name, dtype and shape, and the rows as a batch holds them.

What cannot be meant is refused in one line that names the array and, where one is to blame, the row.
"""

from collections.abc import Callable
from typing import get_args

import numpy as np

from gen_jax.data.field import Field, Kind
from gen_jax.errors import DataError, nearest

# More classes than this are row numbers or dates, taken for labels by mistake.
MOST_CLASSES = 100_000
KINDS: tuple[str, ...] = get_args(Kind)
SHAPES = {
    "image": "(rows, height, width) or (rows, height, width, 1 or 3)",
    "points": "(rows, 2)",
    "series": "(rows, length) or (rows, length, channels)",
    "audio": "(rows, samples)",
    "tokens": "(rows, length)",
    "table": "(rows,) or (rows, columns)",
    "label": "(rows,)",
    "attributes": "(rows, attributes)",
    "codes": "(rows, ...)",
}

Names = tuple[str, ...] | None


def field_of(name: str, array: np.ndarray, names: Names = None, kind: str | None = None) -> tuple[Field, np.ndarray]:
    """The field that an array of rows is, and the rows in its shape and dtype.

    Args:
        name: of the array; "label" and "attributes" mean what they say.
        array: (rows, ...), of booleans, integers or real numbers.
        names: of the classes, attributes, columns, channels or words, in order.
        kind: one of `Kind`; None: guessed.

    Raises:
        DataError: the array holds something else, is of no kind that can be told, or does not fit its kind or names.
    """
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name!r} holds {_dtype(array)}: a field holds numbers")
    if 0 in array.shape[1:]:
        raise DataError(f"{name!r} has rows of shape {array.shape[1:]}, which hold nothing")
    if kind is not None and kind not in KINDS:
        raise DataError(f"{name}_kind is {kind!r}; accepted: {', '.join(KINDS)}{nearest(kind, KINDS)}")
    found = guess(name, array) if kind is None else kind
    if found is None:
        raise DataError(
            f"{name!r} is {array.dtype.name} of shape {array.shape}, which tells no kind of field: "
            f"say which in {name}_kind, one of {', '.join(KINDS)}"
        )
    return FIELDS[found](name, array, names)


def guess(name: str, array: np.ndarray) -> str | None:
    """The kind of a field that has such a name, dtype and shape; None where they tell none."""
    rank, numbers = array.ndim, array.dtype.kind
    if name in ("label", "attributes"):
        return name
    if array.dtype == np.uint8 and (rank == 3 or (rank == 4 and array.shape[3] in (1, 3))):
        return "image"
    if numbers == "f":
        of_pairs = array.shape[1:] == (2,)
        return {1: "table", 2: "points" if of_pairs else "table", 3: "series"}.get(rank)
    return {1: "label", 2: "attributes" if numbers == "b" else "tokens"}.get(rank)


def _image(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    array = array[..., None] if array.ndim == 3 else array
    if array.dtype != np.uint8:
        raise DataError(f"{name!r} holds {array.dtype.name}: the pixels of an image are uint8, 0 to 255")
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise _shape(name, "image", array)
    _no_names(name, "image", names)
    return Field("image", array.shape[1:]), array


def _points(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    if array.shape[1:] != (2,):
        raise _shape(name, "points", array)
    return _named(name, Field("points", (2,)), names), _real(name, array)


def _table(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise _shape(name, "table", array)
    return _named(name, Field("table", array.shape[1:]), names), _real(name, array)


def _series(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3:
        raise _shape(name, "series", array)
    return _named(name, Field("series", array.shape[1:]), names), _real(name, array)


def _audio(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    if array.ndim != 2:
        raise _shape(name, "audio", array)
    if array.dtype.kind != "f":
        raise DataError(f"{name!r} holds {array.dtype.name}: audio is real numbers from -1 to 1")
    _no_names(name, "audio", names)
    rows = _real(name, array)
    _refuse(name, rows, np.abs(rows) > 1.0, "audio lies between -1 and 1")
    return Field("audio", array.shape[1:]), rows


def _attributes(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    if array.ndim != 2:
        raise _shape(name, "attributes", array)
    rows = _real(name, array)
    _refuse(name, rows, (rows < 0) | (rows > 1), "attributes are 0 or 1, or between")
    return _named(name, Field("attributes", array.shape[1:]), names), rows


def _label(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    if array.ndim != 1:
        raise _shape(name, "label", array)
    values, rows = _whole(name, array, names, "labels are integers, 0 for the first class")
    if names is None and values > MOST_CLASSES:
        row = int(np.argmax(rows))
        raise DataError(f"row {row} of {name!r} holds {rows[row]}: number the classes 0, 1, 2, … without gaps")
    return Field("label", (), names, values if names is None else None), rows


def _tokens(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    if array.ndim != 2:
        raise _shape(name, "tokens", array)
    values, rows = _whole(name, array, names, "tokens are integers, 0 for the first word")
    return Field("tokens", array.shape[1:], names, values if names is None else None), rows


def _codes(name: str, array: np.ndarray, names: Names) -> tuple[Field, np.ndarray]:
    _no_names(name, "codes", names)
    if array.dtype.kind == "f":
        return Field("codes", array.shape[1:]), _real(name, array)
    values, rows = _whole(name, array, None, "codes are integers from 0 on, or real numbers")
    return Field("codes", array.shape[1:], values=values), rows


FIELDS: dict[str, Callable[[str, np.ndarray, Names], tuple[Field, np.ndarray]]] = {
    "image": _image,
    "points": _points,
    "series": _series,
    "audio": _audio,
    "tokens": _tokens,
    "table": _table,
    "label": _label,
    "attributes": _attributes,
    "codes": _codes,
}


def _real(name: str, array: np.ndarray) -> np.ndarray:
    """The array in float32."""
    with np.errstate(over="ignore"):
        rows = array.astype(np.float32)
    _refuse(name, array, ~np.isfinite(rows), "every number must be finite in float32")
    return rows


def _whole(name: str, array: np.ndarray, names: Names, rule: str) -> tuple[int, np.ndarray]:
    """How many values an integer may take, and the array in int32."""
    if array.dtype.kind not in "biu":
        raise DataError(f"{name!r} holds {array.dtype.name}: {rule}")
    if array.dtype.kind == "i":
        _refuse(name, array, array < 0, rule)
    if names is not None:
        _refuse(name, array, array >= len(names), f"there are {len(names)} names in {name}_names, from 0 on")
    _refuse(name, array, array >= np.uint64(2**31 - 1), rule + ", below 2147483647")
    return int(array.max()) + 1, array.astype(np.int32)


def _refuse(name: str, array: np.ndarray, wrong: np.ndarray, rule: str) -> None:
    """Raises DataError for the first row that has something wrong in it."""
    if wrong.any():
        place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise DataError(f"row {place[0]} of {name!r} holds {array[place]}: {rule}")


def _named(name: str, field: Field, names: Names) -> Field:
    """The field with names for what lies along its last axis."""
    if names is not None and len(names) != field.shape[-1]:
        raise DataError(f"{name}_names is of length {len(names)}, and a row of {name!r} has {field.shape[-1]} entries")
    return Field(field.kind, field.shape, names)


def _no_names(name: str, kind: str, names: Names) -> None:
    if names is not None:
        raise DataError(f"{name}_names: {name!r} is of the kind {kind}, which has nothing to name")


def _shape(name: str, kind: str, array: np.ndarray) -> DataError:
    return DataError(f"{name!r} has shape {array.shape}: that of {kind} is {SHAPES[kind]}")


def _dtype(array: np.ndarray) -> str:
    return "strings" if array.dtype.kind in "US" else array.dtype.name
