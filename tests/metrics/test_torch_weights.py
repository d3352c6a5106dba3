"""Files in both of PyTorch's formats, put together here byte by byte, and by PyTorch where it is installed."""

import io
import os
import pickle
import struct
import subprocess
import zipfile

import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.metrics.torch_weights import MAGIC_NUMBER, PROTOCOL_VERSION, STORAGE_TYPES, read_state_dict

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3) / 4
COUNT = np.array(7, np.int64)


# A pickle is a program for a machine with a stack. These are its instructions, as the module pickletools lists them.
def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + b"R"


ORDERED_DICT = name("collections", "OrderedDict")
FALSE, NONE = b"I00\n", b"N"


def storage(kind: str, key: str, count: int, *view: bytes) -> bytes:
    return tuple_of(text("storage"), name("torch", kind), text(key), text("cpu"), number(count), *view) + b"Q"


def tensor(stored: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, *rest: bytes) -> bytes:
    sizes, steps = tuple_of(*map(number, shape)), tuple_of(*map(number, strides))
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, stored, number(offset), sizes, steps, FALSE, call(ORDERED_DICT), *rest)


def program(**values: bytes) -> bytes:
    items = b"".join(text(key.replace("__", ".")) + value for key, value in values.items())
    # With the attribute that PyTorch gives every state dict.
    return b"\x80\x02" + call(ORDERED_DICT) + b"(" + items + b"u" + b"}" + text("_metadata") + b"}sb" + b"."


def zip_file(
    written: bytes, byteorder: bytes = b"little", compression: int = zipfile.ZIP_STORED, **data: bytes
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        members = {"data.pkl": written, "byteorder": byteorder, "version": b"3\n"}
        members |= {f"data/{key}": stored for key, stored in data.items()}
        for member, content in members.items():
            archive.writestr(f"weights/{member}", content)
    return file.getvalue()


def legacy_file(written: bytes, keys: list[str], *data: bytes, little: bool = True) -> bytes:
    facts = {"protocol_version": PROTOCOL_VERSION, "little_endian": little, "type_sizes": {"int": 4}}
    first = [pickle.dumps(value, protocol=2) for value in (MAGIC_NUMBER, PROTOCOL_VERSION, facts)]
    return b"".join([*first, written, pickle.dumps(keys, protocol=2), *data])


def read(tmp_path, content: bytes) -> dict[str, np.ndarray]:
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    return read_state_dict(file)


def refusal(tmp_path, content: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "weights.pth") in str(caught.value)
    return str(caught.value)


def state(*view: bytes) -> bytes:
    return program(
        layer__weight=tensor(storage("FloatStorage", "0", 6, *view), (2, 3), (3, 1)),
        layer__count=tensor(storage("LongStorage", "1", 1, *view), (), ()),
    )


def assert_is_state(found: dict[str, np.ndarray]) -> None:
    assert list(found) == ["layer.weight", "layer.count"]
    for array, expected in zip(found.values(), (MATRIX, COUNT), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


ZIP = zip_file(state(), **{"0": MATRIX.tobytes(), "1": COUNT.tobytes()})
LENGTH = {count: struct.pack("<q", count) for count in (1, 6)}
# Storages come in an order of their own.
LEGACY = legacy_file(state(NONE), ["1", "0"], LENGTH[1], COUNT.tobytes(), LENGTH[6], MATRIX.tobytes())


@pytest.mark.parametrize("content", [ZIP, LEGACY], ids=["zip", "legacy"])
def test_file_by_hand_is_read(tmp_path, content):
    assert_is_state(read(tmp_path, content))


def test_views_of_one_storage_are_read_with_offset_and_strides(tmp_path):
    whole = storage("FloatStorage", "0", 6)
    written = program(
        transposed=tensor(whole, (3, 2), (1, 3)),
        column=tensor(whole, (2,), (3,), 1),
        none=tensor(whole, (0, 3), (3, 1)),
    )
    found = read(tmp_path, zip_file(written, **{"0": MATRIX.tobytes()}))
    np.testing.assert_array_equal(found["transposed"], MATRIX.T)
    np.testing.assert_array_equal(found["column"], MATRIX[:, 1])
    assert found["none"].shape == (0, 3)


@pytest.mark.parametrize("kind", STORAGE_TYPES)
def test_each_type_of_number_is_read(tmp_path, kind):
    expected = np.array([0, 1, 1, 0], STORAGE_TYPES[kind])
    written = program(x=tensor(storage(kind, "0", 4), (4,), (1,)))
    found = read(tmp_path, zip_file(written, **{"0": expected.tobytes()}))["x"]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_parameters_are_read_as_tensors(tmp_path):
    plain = tensor(storage("FloatStorage", "0", 6), (2, 3), (3, 1))
    written = program(x=call(name("torch._utils", "_rebuild_parameter"), plain, FALSE, call(ORDERED_DICT)))
    np.testing.assert_array_equal(read(tmp_path, zip_file(written, **{"0": MATRIX.tobytes()}))["x"], MATRIX)


class Attack:
    """Unpickled by an ordinary unpickler, it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("format_of", [zip_file, lambda written: legacy_file(written, [])], ids=["zip", "legacy"])
def test_malicious_pickle_is_refused_by_name_and_not_run(tmp_path, protocol, format_of):
    victim = tmp_path / "victim"
    written = pickle.dumps({"weight": Attack(os.mkdir, str(victim))}, protocol=protocol)
    assert f"asks for {os.name}.mkdir, which is refused" in refusal(tmp_path, format_of(written))
    assert not victim.exists()
    # The attack is one.
    pickle.loads(written)
    assert victim.exists()


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("subprocess", subprocess.Popen.__name__),
        ("collections", "OrderedDict.__init__"),
        ("torch", "load"),
        ("torch", "BFloat16Storage"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torchvision.models.inception", "Inception3"),
        ("gen_jax.metrics.torch_weights", "read_state_dict"),
    ],
)
def test_every_other_name_is_refused(tmp_path, module, attribute):
    # Protocol 4 could reach into what a name holds, after a dot.
    stacked = b"\x80\x04" + text(module) + text(attribute) + b"\x93."
    assert f"asks for {module}.{attribute}, which is refused" in refusal(tmp_path, zip_file(stacked))


def test_what_a_pickle_does_to_a_function_it_may_name_does_not_last(tmp_path):
    # Sets the attribute `__defaults__` of the function that puts tensors together.
    function = name("torch._utils", "_rebuild_tensor_v2")
    vandal = b"\x80\x02" + function + tuple_of(NONE, b"}" + text("__defaults__") + tuple_of(FALSE) + b"s") + b"b."
    assert "holds a function" in refusal(tmp_path, zip_file(vandal))
    assert_is_state(read(tmp_path, ZIP))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged or was not saved by PyTorch"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "damaged or was not saved by PyTorch"),
        (b"<!DOCTYPE html><title>Not found</title>", "damaged or was not saved by PyTorch"),
        (pickle.dumps([1, 2]), "is a pickle, but not of tensors"),
        (zip_file(b"\x80\x02}."), "holds nothing"),
        (zip_file(b"\x80\x02]."), "holds a list"),
        (zip_file(program(epoch=number(3))), "holds a int under 'epoch'"),
        (zip_file(state(), b"big"), "big-endian"),
        (legacy_file(state(NONE), [], little=False), "big-endian"),
        (zip_file(state(), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (zip_file(state()), "damaged"),
        (zip_file(state(), **{"0": MATRIX.tobytes()[:-4], "1": COUNT.tobytes()}), "ends too early"),
        (LEGACY[:-4], "ends too early"),
        (LEGACY[:100], "damaged"),
        (ZIP[:-4], "damaged"),
        (ZIP.replace(MATRIX.tobytes(), MATRIX[::-1].tobytes()), "damaged"),
        (legacy_file(state(NONE), ["2"], LENGTH[1], COUNT.tobytes()), "belongs to no tensor"),
        (zip_file(state(tuple_of(text("view")))), "no plain storage"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value.replace(" ", "-"),
)
def test_what_is_no_state_dict_is_one_line(tmp_path, content, said):
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "said"),
    [
        ((7,), (1,), 0, "reaches beyond its storage"),
        ((2, 3), (4, 1), 0, "reaches beyond its storage"),
        ((1,), (1,), 6, "reaches beyond its storage"),
        ((2**30, 2**30), (0, 0), 0, "reaches beyond its storage"),
        ((2,), (-1,), 3, "a kind that is not known"),
        ((2,), (1,), -1, "a kind that is not known"),
        ((2, 3), (1,), 0, "strides do not fit its shape"),
    ],
)
def test_tensor_cannot_show_what_is_not_in_its_storage(tmp_path, shape, strides, offset, said):
    written = program(x=tensor(storage("FloatStorage", "0", 6), shape, strides, offset))
    assert said in refusal(tmp_path, zip_file(written, **{"0": MATRIX.tobytes()}))


def test_negated_numbers_are_refused_rather_than_read_wrong(tmp_path):
    written = program(x=tensor(storage("FloatStorage", "0", 6), (6,), (1,), 0, b"}" + text("neg") + b"I01\ns"))
    assert "stored negated" in refusal(tmp_path, zip_file(written, **{"0": MATRIX.tobytes()}))


def test_missing_file_and_directory_are_one_line(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            read_state_dict(path)
        assert str(path) in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_file_by_pytorch_is_read(tmp_path, as_zip):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5), torch.nn.BatchNorm2d(4))
    tensors = module.state_dict()
    tensors["transposed"] = tensors["0.weight"].permute(2, 3, 1, 0)
    tensors["part"] = tensors["0.bias"][1:3]
    tensors["parameter"] = torch.nn.Parameter(torch.ones(2))
    tensors["half"] = torch.linspace(0, 1, 5).half()
    torch.save(tensors, tmp_path / "weights.pth", _use_new_zipfile_serialization=as_zip)
    found = read_state_dict(tmp_path / "weights.pth")
    assert list(found) == list(tensors)
    for key, expected in tensors.items():
        assert found[key].dtype == expected.detach().numpy().dtype
        np.testing.assert_array_equal(found[key], expected.detach().numpy())


@pytest.mark.slow
def test_whole_module_by_pytorch_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"asks for torch\.nn\.modules\.linear\.Linear, which is refused"):
        read_state_dict(tmp_path / "weights.pth")
