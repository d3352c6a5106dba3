"""Inception-v3 as a feature network: where its weights come from, and what it is shown.

The weights are those of TensorFlow's model of 2015-12-05, which the FID papers use, in the file that pytorch-fid
publishes. The user downloads it once; it is checked, converted and kept in the user's cache directory.

Images are prepared as pytorch-fid prepares them. The TensorFlow model itself resizes by another rule (pixel i is taken
at i * scale, where this takes it at (i + 1/2) * scale - 1/2) and scales by 1/128 around 128, as torch-fidelity does
too: programs that share these weights still differ in FID by what they do before the network (Parmar et al., arXiv
2104.11222).
"""

import contextlib
import functools
import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from gen_jax.errors import ConfigError, StorageError
from gen_jax.host.cache_directory import cache_directory
from gen_jax.metrics.feature_network import FeatureNetwork
from gen_jax.metrics.torch_weights import read_state_dict
from gen_jax.models.inception import FEATURES, SIZE, InceptionV3
from gen_jax.training.state import leaves_by_name

FILE = "pt_inception-2015-12-05-6726825d.pth"
PROJECT = "release fid_weights of github.com/mseitzer/pytorch-fid"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

# Part of the stored file's name: raise it when the conversion changes.
VERSION = 1

# What PyTorch calls a number of a layer, by the kind of layer, and what Flax does.
CONVOLUTION = {"weight": ("params", "kernel")}
NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
LINEAR = {"weight": ("params", "kernel"), "bias": ("params", "bias")}
LAYERS = {"conv": CONVOLUTION, "bn": NORM, "fc": LINEAR}
# What reading a damaged archive may raise.
DAMAGED = (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
# Only training counts the batches.
UNUSED = "num_batches_tracked"


def prepare(images: UInt8[Array, "n height width channels"]) -> Float[Array, "n 299 299 3"]:
    """Images as the network expects them: in [-1, 1], three channels, 299x299.

    Resized bilinearly between centres of pixels, without smoothing where that shrinks them: PyTorch's
    `interpolate(mode="bilinear", align_corners=False)`.

    Raises:
      ConfigError: neither one channel nor three.
    """
    n, _, _, channels = images.shape
    if channels not in (1, 3):
        raise ConfigError(f"images have {channels} channels; Inception-v3 takes 1 or 3")
    x = images.astype(jnp.float32) / 255
    x = jax.image.resize(x, (n, SIZE, SIZE, channels), "bilinear", antialias=False)
    return jnp.broadcast_to(2 * x - 1, (n, SIZE, SIZE, 3))


def convert(path: Path, any_weights: bool = False) -> Path:
    """Converts a file of weights and keeps them in the user's cache directory.

    Args:
      path: the published file.
      any_weights: whether other weights of the same architecture are accepted. Their features have another name.

    Returns:
      Where they are kept.

    Raises:
      ConfigError: not that file, or with `any_weights` no file of weights of this architecture.
      StorageError: they could not be kept.
    """
    sha256 = _sha256(path)
    if sha256 != SHA256 and not any_weights:
        raise ConfigError(f"{path} is not {FILE} ({PROJECT}): its SHA-256 is {sha256}, not {SHA256}")
    variables = to_variables(read_state_dict(path), str(path))
    stored = stored_at(sha256)
    temporary = stored.with_name(f"{stored.name}.{os.getpid()}.part")
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, sha256=np.array(sha256), **leaves_by_name(variables))
        # Atomic: another process sees the whole file or none.
        temporary.replace(stored)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(f"{stored} could not be written: {error.strerror or error}") from error
    return stored


def load(stored: Path | None = None) -> tuple[Any, str]:
    """The converted weights.

    Args:
      stored: what `convert` returned; by default where it keeps the published ones.

    Returns:
      variables: of `InceptionV3`, float32 on the host.
      sha256: of the file that they came from.

    Raises:
      ConfigError: they were not converted, or what is stored is damaged.
    """
    path = stored or stored_at(SHA256)
    template = _template()
    try:
        # A zip archive carries a CRC-32 of every member, which is checked as it is read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            leaves = [archive[name] for name in leaves_by_name(template)]
            return jax.tree.unflatten(jax.tree.structure(template), leaves), str(archive["sha256"])
    except FileNotFoundError as error:
        raise ConfigError(missing()) from error
    except DAMAGED as error:
        raise ConfigError(
            f"{path} cannot be read ({type(error).__name__}); make it again by "
            f"`python -m gen_jax inception --weights FILE` from {FILE} ({PROJECT}; SHA-256 {SHA256})"
        ) from error


def missing() -> str:
    """What to do where the weights were not converted."""
    return (
        f"Inception-v3 has no weights here: download {FILE} ({PROJECT}; SHA-256 {SHA256}) and give it to "
        "`python -m gen_jax inception --weights FILE`, once"
    )


def inception_network(stored: Path | None = None) -> FeatureNetwork:
    """The feature network: features (batch, 2048) of the last pool, and probabilities (batch, 1008).

    The probabilities are those of Inception Score, without the bias of the last layer. With any but the published
    weights the name says so, and so do the names of scores.

    Args:
      stored: what `convert` returned; by default where it keeps the published ones.

    Raises:
      ConfigError: as `load`.
    """
    variables, sha256 = load(stored)
    name = "inception" if sha256 == SHA256 else f"inception with other weights {sha256[:8]}"
    # Its first layers hold some 5 MB an image.
    return FeatureNetwork(name, sha256, FEATURES, features_and_probabilities, variables, batch_size=32)


def features_and_probabilities(
    variables: Any, images: UInt8[Array, "n height width channels"]
) -> tuple[Float[Array, "n 2048"], Float[Array, "n 1008"]]:
    """What the network sees in uint8 images of one or three channels and any size."""
    seen: Any = InceptionV3(logit_bias=False).apply(variables, prepare(images))
    features, logits = seen
    return features, jax.nn.softmax(logits)


def stored_at(sha256: str) -> Path:
    """Where the weights of the source file with this SHA-256 are kept once they are converted."""
    return cache_directory() / f"inception-{sha256[:16]}.v{VERSION}.npz"


def to_variables(state: dict[str, np.ndarray], source: str) -> Any:
    """PyTorch's state dict as variables of `InceptionV3`: the same numbers, transposed.

    Kernels turn from (out, in, height, width) to (height, width, in, out), the last layer's weight from (out, in) to
    (in, out).

    Args:
      state: "Mixed_5b.branch1x1.conv.weight" and so on.
      source: named in the error.

    Raises:
      ConfigError: of another architecture.
    """
    given: dict[str, np.ndarray] = {}
    for name, array in state.items():
        *modules, kind = name.split(".")
        collection, leaf = LAYERS.get(modules[-1] if modules else "", {}).get(kind, ("", kind))
        if kind != UNUSED:
            given["/".join((collection, *modules, leaf))] = array.astype(np.float32).transpose(_to_flax(array.ndim))
    template = _template()
    wanted = leaves_by_name(template)
    for name in [*wanted, *given]:
        has = given[name].shape if name in given else "absent"
        wants = wanted[name].shape if name in wanted else "absent"
        if has != wants:
            where = name.strip("/")
            raise ConfigError(f"{source} has not the weights of this Inception-v3: {where} is {has}, should be {wants}")
    return jax.tree.unflatten(jax.tree.structure(template), [given[name] for name in wanted])


def _to_flax(dimensions: int) -> tuple[int, ...]:
    return (2, 3, 1, 0) if dimensions == 4 else tuple(reversed(range(dimensions)))


@functools.cache
def _template() -> Any:
    images = jnp.zeros((1, SIZE, SIZE, 3))
    return jax.eval_shape(InceptionV3().init, jax.random.key(0), images)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror or error}); expected is {FILE} ({PROJECT}; SHA-256 {SHA256})"
        ) from error
