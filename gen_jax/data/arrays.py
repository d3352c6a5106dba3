"""Arrays with a row for each example as a data set."""

import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from gen_jax.data.dataset import RESERVED, Dataset, Split, fingerprint
from gen_jax.data.decode import fit
from gen_jax.data.field import Field
from gen_jax.data.guess import field_of
from gen_jax.errors import ConfigError, DataError, nearest

# As of a TFDS set without a held-out split: every tenth row is held out, by its position.
HELD_OUT_EVERY = 10
NAMES, KIND = "_names", "_kind"

Images = UInt8[np.ndarray, "rows height width channels"]


def from_arrays(arrays: Mapping[str, np.ndarray], *, name: str = "arrays", image_size: int | None = None) -> Dataset:
    """The data set of arrays by field: rows with the same position are one example.

    Every tenth row is held out; of fewer than ten, the last. The fingerprint follows the content.

    Args:
        arrays: "x" (rows, ...), and any others of as many rows. NAME_names, a list of strings, names the classes,
            attributes, columns, channels or words of NAME; NAME_kind, a string, states its kind where `guess.guess`
            would be wrong.
        name: of the data set.
        image_size: side of the squares that its images are resized and cropped to (see `decode.fit`); None: they stay.

    Raises:
        DataError: there is no "x", the arrays differ in rows, or one is not what a field of its kind can be.
        ConfigError: an image size where no field is an image.
    """
    rows, names, kinds = _sorted_out({key: np.asarray(array) for key, array in arrays.items()})
    size = _rows(rows)
    found = {key: field_of(key, array, names.get(key), kinds.get(key)) for key, array in rows.items()}
    fields = {key: field for key, (field, _) in found.items()}
    stored = {key: array for key, (_, array) in found.items()}
    content = [(key, fields[key].as_json(), _digest(stored[key])) for key in sorted(fields)]
    if image_size is not None:
        images = [key for key, field in fields.items() if field.kind == "image"]
        if not images:
            kind = fields["x"].kind
            raise ConfigError(f"--image-size {image_size}: x of {name!r} is {kind}, not images; leave the flag out")
        for key in images:
            if fields[key].shape[:2] != (image_size, image_size):
                stored[key] = _resized(stored[key], image_size)
                fields[key] = Field("image", stored[key].shape[1:])
    held_out = np.arange(size) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    held_out[-1] |= not held_out.any()
    return Dataset(
        name=name,
        train=Split(int(np.sum(~held_out)), {key: array[~held_out] for key, array in stored.items()}),
        test=Split(int(np.sum(held_out)), {key: array[held_out] for key, array in stored.items()}),
        fields=fields,
        fingerprint=fingerprint("arrays", content, [list(field.shape) for field in fields.values()]),
    )


def _sorted_out(
    arrays: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]], dict[str, str]]:
    """The arrays that are fields, and the names and kinds that are stated of them."""
    rows: dict[str, np.ndarray] = {}
    names: dict[str, tuple[str, ...]] = {}
    kinds: dict[str, str] = {}
    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise DataError(f"{key!r} holds Python objects, which are not read: store numbers, or strings as names")
        suffix = next((suffix for suffix in (NAMES, KIND) if key.endswith(suffix)), "")
        of = key.removesuffix(suffix)
        text = array.dtype.kind in "US"
        if not suffix or (of not in arrays and not text):
            rows[key] = array
            continue
        if of not in arrays:
            others = [other for other in arrays if other != key]
            raise DataError(f"{key!r} tells of {of!r}, and there is no such array{nearest(of, others)}")
        if not text or array.ndim != (1 if suffix == NAMES else 0):
            what = "a list of strings" if suffix == NAMES else "one string"
            raise DataError(f"{key!r} is {array.dtype} of shape {array.shape}: it must be {what}")
        strings = [str(item) for item in np.atleast_1d(np.char.decode(array) if array.dtype.kind == "S" else array)]
        if suffix == NAMES:
            names[of] = tuple(strings)
        else:
            kinds[of] = strings[0]
    return rows, names, kinds


def _rows(arrays: Mapping[str, np.ndarray]) -> int:
    """How many rows all arrays have."""
    if "x" not in arrays:
        raise DataError(f"there is no array 'x', which holds the examples, but {', '.join(arrays) or 'nothing'}")
    for key, array in arrays.items():
        if key in RESERVED:
            raise DataError(f"{key!r} is what every batch has of its own: give the array another name")
        if array.ndim == 0:
            raise DataError(f"{key!r} is a single value: every array has a row for each example")
        if len(array) != len(arrays["x"]):
            raise DataError(
                f"'x' has {len(arrays['x'])} rows and {key!r} has {len(array)}: each has one for each example"
            )
    size = len(arrays["x"])
    if size < 2:
        raise DataError(
            f"'x' has {size} row{'s' * (size != 1)}: at least 2 are needed, one to learn from and one to hold out"
        )
    return size


def _digest(array: np.ndarray) -> str:
    """16 hexadecimal digits of the shape, the dtype and every value."""
    found = hashlib.sha256(f"{array.dtype.name} {array.shape}".encode())
    found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()[:16]


def _resized(images: Images, size: int) -> UInt8[np.ndarray, "rows {size} {size} channels"]:
    from PIL import Image

    grey = images.shape[3] == 1
    squares = [np.asarray(fit(Image.fromarray(image[..., 0] if grey else image), size)) for image in images]
    return np.stack(squares)[..., None] if grey else np.stack(squares)
