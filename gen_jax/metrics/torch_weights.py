"""Reads the tensors of a PyTorch file without PyTorch, and without running anything that the file says.

Such a file is a pickle beside the bytes of the tensors, and a pickle is a program: it may name any function of any
module and call it. Here it can name an ordered dictionary, the types of storages and the functions that put tensors
together, and only stand-ins of these are ever called. They note down what a tensor is made of; the arrays are made
afterwards, each checked against the bytes there are.

Two formats hold the same. Since PyTorch 1.6 it is a zip archive: `NAME/data.pkl`, and each storage as
`NAME/data/KEY`. Before, it was one file: the pickles of a magic number, a version, facts about the machine, the object
and a list of keys, and then the storages in the order of that list, each after its length as 8 bytes.
"""

import collections
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from gen_jax.errors import ConfigError

# Of the format before 1.6, from PyTorch's torch/serialization.py.
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
ZIP_START = b"PK\x03\x04"

# Values are only strings: what a pickle is handed, it may try to alter.
STORAGE_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}


class Refused(Exception):
    """Something in a file that is not read; the message completes the sentence "the file …"."""


class Storage(NamedTuple):
    """A row of numbers elsewhere in the file."""

    key: str
    dtype: str
    numbers: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` made of a state dict, by name and in the file's order.

    Raises:
      ConfigError: there is no such file, it is no such file, it is damaged, or it wants more than tensors.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(ZIP_START)) == ZIP_START
            file.seek(0)
            state, storages = _read_zip(file) if is_zip else _read_legacy(file)
        return {name: _as_array(tensor, storages[tensor.storage.key]) for name, tensor in _checked(state).items()}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except Refused as error:
        raise ConfigError(f"{path} {error}; only a state dict saved by PyTorch is read") from error
    except Exception as error:
        # Bytes that are no pickle, or a damaged one, can make the unpickler raise anything at all.
        raise ConfigError(f"{path} is damaged or was not saved by PyTorch ({type(error).__name__})") from error


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """Stands for `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`, whose other arguments concern gradients."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or any(type(number) is not int or number < 0 for number in numbers):
        raise Refused("holds a tensor of a kind that is not known")
    # Requires a gradient, hooks, and since 2.0 whether the numbers are to be negated or conjugated.
    if any(rest[2:]):
        raise Refused("holds a tensor whose numbers are stored negated or conjugated")
    if len(shape) != len(strides):
        raise Refused("holds a tensor whose strides do not fit its shape")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: Any, *rest: Any) -> Any:
    """Stands for `torch._utils._rebuild_parameter`, whose other arguments concern gradients."""
    return tensor


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a state dict needs, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        # A new function each time: a pickle can set attributes of what it is given, and then only of this one.
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return lambda *arguments: _rebuild_tensor(*arguments)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda *arguments: _rebuild_parameter(*arguments)
        raise Refused(f"asks for {module}.{name}, which is refused")

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or dtype not in STORAGE_TYPES.values() or type(count) is not int or any(view):
            raise Refused("refers to something that is no plain storage")
        return Storage(str(key), dtype, count)


def _read_zip(file: IO[bytes]) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        members = archive.namelist()
        pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Refused("is a zip archive without a pickle of tensors")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") != b"little":
            raise Refused("was saved by a big-endian machine")
        # PyTorch stores without compressing: what unpacks to more than the file is a trap.
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise Refused("is a compressed zip archive")
        state = _Unpickler(io.BytesIO(archive.read(pickles[0]))).load()
        prefix = f"{folder}data/"
        return state, {name.removeprefix(prefix): archive.read(name) for name in members if name.startswith(prefix)}


def _read_legacy(file: IO[bytes]) -> tuple[Any, dict[str, bytes]]:
    if _Unpickler(file).load() != MAGIC_NUMBER or _Unpickler(file).load() != PROTOCOL_VERSION:
        raise Refused("is a pickle, but not of tensors")
    if not _Unpickler(file).load()["little_endian"]:
        raise Refused("was saved by a big-endian machine")
    unpickler = _Unpickler(file)
    state = unpickler.load()
    keys = _Unpickler(file).load()
    sizes = {tensor.storage.key: np.dtype(tensor.storage.dtype).itemsize for tensor in _checked(state).values()}
    storages = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        # A storage of which no tensor is left has a size that nothing tells.
        if key not in sizes:
            raise Refused(f"has a storage {key} that belongs to no tensor")
        storages[key] = file.read(count * sizes[key])
    return state, storages


def _checked(state: Any) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        raise Refused(f"holds {'nothing' if state == {} else 'a ' + type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise Refused(f"holds a {type(value).__name__} under {name!r}, where a tensor should be")
    return state


def _as_array(tensor: Tensor, stored: bytes) -> np.ndarray:
    dtype = np.dtype(tensor.storage.dtype)
    if len(stored) != tensor.storage.numbers * dtype.itemsize:
        raise Refused("ends too early")
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, dtype)
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    # The second: strides of 0 would make any amount of numbers out of one.
    if last >= tensor.storage.numbers or math.prod(tensor.shape) > tensor.storage.numbers:
        raise Refused("holds a tensor that reaches beyond its storage")
    numbers = np.frombuffer(stored, dtype)[tensor.offset :]
    strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides).copy()
