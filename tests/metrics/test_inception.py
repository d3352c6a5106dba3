"""Inception-v3 as a feature network: images, the conversion of a weight file, and numbers of the PyTorch reference."""

import hashlib
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import ConfigError, StorageError
from gen_jax.host.cache_directory import cache_directory
from gen_jax.metrics import inception
from gen_jax.models.inception import InceptionV3
from gen_jax.training.state import leaves_by_name
from tests.metrics.test_torch_weights import legacy_file, program, storage, tensor

# What PyTorch calls the leaves of Flax' layers.
IN_TORCH = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}

# Of `numbers` and one of `varied_images` by pytorch-fid 0.3.0 in float64: every 256th feature, and log p(class).
REFERENCE_FEATURES = [[1.661965, 0.693916, 0.02151, 0.857327, 0.0, 0.004545, 8.078116, 12.817409]]
CLASSES = [664, 684, 799, 85, 119, 820]
REFERENCE_LOG_PROBABILITIES = [[-0.05834, -3.485373, -4.109529, -5.698848, -6.481292, -6.655104]]


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that the name of a tensor determines, of a size at which activations neither vanish nor explode."""
    uniform = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(shape, np.float32)
    if name.endswith(("running_var", "bn.weight")):
        return uniform + np.float32(0.5)
    # Of kernels: variance 2 / fan in.
    return (uniform - np.float32(0.5)) * np.float32((24 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 1)


def varied_images(n: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """uint8 (n, *shape): noise around slopes of brightness that differ from image to image and channel to channel."""
    random = np.random.Generator(np.random.PCG64(seed)).random
    height, width, channels = shape
    down, right, level, noise = 2 * random((4, n, 1, 1, channels)) - 1
    down, right = down * np.linspace(-1, 1, height)[:, None, None], right * np.linspace(-1, 1, width)[:, None]
    grey = level + down + right + noise * (2 * random((n, *shape)) - 1)
    return np.clip(np.round(127.5 + 127.5 * grey), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    """A state dict as the weight file has it, but for the numbers."""
    variables = jax.eval_shape(InceptionV3().init, jax.random.key(0), jnp.zeros((1, 299, 299, 3)))
    found = {}
    for name, leaf in leaves_by_name(variables).items():
        _, *modules, kind = name.split("/")
        # (height, width, in, out) is (out, in, height, width) there, and (in, out) is (out, in).
        shape = (*leaf.shape[-2:][::-1], *leaf.shape[:-2]) if len(leaf.shape) > 1 else leaf.shape
        torch_name = ".".join([*modules, IN_TORCH[kind]])
        found[torch_name] = numbers(torch_name, shape)
        if kind == "mean":
            found[".".join([*modules, inception.UNUSED])] = np.array(1, np.int64)
    return found


@pytest.fixture(scope="module")
def weights(state: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That state dict in the format that the weight file has."""
    kinds = {np.dtype(np.float32): "FloatStorage", np.dtype(np.int64): "LongStorage"}
    tensors, data = {}, []
    for key, (name, array) in enumerate(state.items()):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        tensors[name] = tensor(storage(kinds[array.dtype], str(key), array.size, b"N"), array.shape, strides)
        data += [array.size.to_bytes(8, "little"), array.tobytes()]
    path = tmp_path_factory.mktemp("download") / "weights.pth"
    path.write_bytes(legacy_file(program(**tensors), [str(key) for key in range(len(state))], *data))
    return path


@pytest.fixture
def published(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Takes the file for the published one; the cache is empty. Returns its SHA-256."""
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr(inception, "SHA256", sha256)
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))
    return sha256


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def shares(n: int, size: int) -> np.ndarray:
    """(size, n): of what old pixels a new one is made. Its centre lies between two of theirs, or at the border."""
    found = np.zeros((size, n))
    for new in range(size):
        at = min(max((new + 0.5) * n / size - 0.5, 0), n - 1)
        low = int(at)
        found[new, low] += 1 - (at - low)
        found[new, min(low + 1, n - 1)] += at - low
    return found


@pytest.mark.parametrize("shape", [(28, 28, 1), (5, 7, 3), (320, 400, 3)])
def test_images_are_resized_by_the_formula_and_scaled(shape):
    images = varied_images(1, shape)
    found = inception.prepare(jnp.asarray(images))
    assert found.shape == (1, 299, 299, 3)
    assert found.dtype == jnp.float32
    rows, columns = shares(shape[0], 299), shares(shape[1], 299)
    expected = np.einsum("yh,xw,nhwc->nyxc", rows, columns, images, optimize=True) / 127.5 - 1
    # Positions of pixels are rounded to float32: the larger, the further off.
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=5e-7 * max(shape))


def test_images_of_the_right_size_are_only_scaled():
    images = varied_images(1, (299, 299, 3))
    np.testing.assert_allclose(inception.prepare(jnp.asarray(images)), images / 127.5 - 1, atol=1e-6)
    ends = inception.prepare(jnp.asarray([0, 255], jnp.uint8).reshape(2, 1, 1, 1))
    np.testing.assert_array_equal(ends, np.broadcast_to(np.array([-1, 1]).reshape(2, 1, 1, 1), ends.shape))


@pytest.mark.parametrize("channels", [2, 4])
def test_images_of_other_channels_are_refused(channels):
    with pytest.raises(ConfigError, match=f"images have {channels} channels; Inception-v3 takes 1 or 3"):
        inception.prepare(jnp.zeros((1, 8, 8, channels), jnp.uint8))


def test_sha256_is_that_of_the_published_name():
    assert len(bytes.fromhex(inception.SHA256)) == 32
    assert f"pt_inception-2015-12-05-{inception.SHA256[:8]}.pth" == inception.FILE


def test_converted_weights_see_what_the_reference_sees(weights, published):
    inception.convert(weights)
    network = inception.inception_network()
    assert (network.name, network.digest, network.dimension) == ("inception", published, 2048)
    images = varied_images(1, (28, 28, 1))
    features, probabilities = jax.jit(network.apply)(network.variables, images)
    assert features.shape == (1, 2048)
    np.testing.assert_allclose(features[:, ::256], REFERENCE_FEATURES, atol=1e-4)
    # Without the bias of the last layer, which would move each by up to a half.
    np.testing.assert_allclose(np.log(probabilities[:, CLASSES]), REFERENCE_LOG_PROBABILITIES, atol=2e-4)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_conversion_keeps_every_number(state, weights, published):
    path = inception.convert(weights)
    assert path.parent == cache_directory()
    assert list(path.parent.iterdir()) == [path]
    variables, sha256 = inception.load()
    assert sha256 == published
    kernel = state["Mixed_6b.branch7x7_2.conv.weight"]
    found = variables["params"]["Mixed_6b"]["branch7x7_2"]["conv"]["kernel"]
    assert (kernel.shape, found.shape, found.dtype) == ((128, 128, 1, 7), (1, 7, 128, 128), np.float32)
    np.testing.assert_array_equal(found[0, 5, 3, 2], kernel[2, 3, 0, 5])
    np.testing.assert_array_equal(variables["params"]["fc"]["kernel"], state["fc.weight"].T)
    np.testing.assert_array_equal(
        variables["batch_stats"]["Mixed_7c"]["branch_pool"]["bn"]["var"], state["Mixed_7c.branch_pool.bn.running_var"]
    )
    total = sum(float(leaf.sum(dtype=np.float64)) for leaf in jax.tree.leaves(variables))
    expected = sum(float(array.sum(dtype=np.float64)) for array in state.values() if array.ndim)
    assert total == pytest.approx(expected, rel=1e-9)


def test_missing_weights_are_one_line_with_all_that_is_needed(empty_cache):
    with pytest.raises(ConfigError) as error:
        inception.inception_network()
    for part in (inception.FILE, inception.PROJECT, inception.SHA256, "python -m gen_jax inception --weights FILE"):
        assert part in one_line(error)


def test_other_weights_are_refused_unless_asked_for(weights, empty_cache):
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    with pytest.raises(ConfigError) as error:
        inception.convert(weights)
    assert sha256 in one_line(error)
    assert inception.SHA256 in one_line(error)
    assert not empty_cache.exists()


def test_other_weights_never_give_plain_names(weights, empty_cache):
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    network = inception.inception_network(inception.convert(weights, any_weights=True))
    assert network.name == f"inception with other weights {sha256[:8]}"
    assert network.digest == sha256
    # Nor are they taken for the published ones later.
    with pytest.raises(ConfigError, match="has no weights here"):
        inception.load()


@pytest.mark.parametrize("any_weights", [False, True])
def test_file_that_is_no_weight_file_is_one_line(tmp_path, empty_cache, any_weights):
    wrong = tmp_path / "page.html"
    wrong.write_text("<!DOCTYPE html><title>Not found</title>")
    for path, said in ((wrong, ("SHA-256", "was not saved by PyTorch")[any_weights]), (tmp_path, "cannot be read")):
        with pytest.raises(ConfigError, match=said) as error:
            inception.convert(path, any_weights)
        assert str(path) in one_line(error)
    assert not empty_cache.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.bias": None}, "params/fc/bias is absent, should be (1008,)"),
        ({"fc.weight": np.zeros((1000, 2048))}, "params/fc/kernel is (2048, 1000), should be (2048, 1008)"),
        ({"AuxLogits.fc.weight": np.zeros((1, 2))}, "params/AuxLogits/fc/kernel is (2, 1), should be absent"),
        ({"Mixed_5b.conv.bias": np.zeros(3)}, "Mixed_5b/conv/bias is (3,), should be absent"),
        ({"scalar": np.zeros(())}, "scalar is (), should be absent"),
    ],
)
def test_weights_of_another_architecture_are_one_line(state, change, said):
    changed = {name: array for name, array in {**state, **change}.items() if array is not None}
    with pytest.raises(ConfigError) as error:
        inception.to_variables(changed, "weights.pth")
    assert one_line(error).startswith("weights.pth has not the weights of this Inception-v3")
    assert said in one_line(error)


def test_damaged_stored_weights_are_one_line(empty_cache):
    stored = inception.stored_at(inception.SHA256)
    stored.parent.mkdir()
    for content in (b"", b"PK\x03\x04", b"not an archive"):
        stored.write_bytes(content)
        with pytest.raises(ConfigError, match="make it again by `python -m gen_jax inception --weights FILE`") as error:
            inception.load()
        assert str(stored) in one_line(error)
    np.savez(stored, sha256=np.array("0"))
    with pytest.raises(ConfigError, match="make it again"):
        inception.load()


def test_cache_that_cannot_be_written_is_one_line(weights, published, monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", str(weights / "below-a-file"))
    with pytest.raises(StorageError, match="could not be written") as error:
        inception.convert(weights)
    one_line(error)
