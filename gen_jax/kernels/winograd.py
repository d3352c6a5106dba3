"""Convolutions by Winograd's minimal filtering: a quarter to two fifths of the products, for a CPU.

Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, arXiv 1509.09308, section 4. An image is cut into
overlapping tiles; in a transformed domain the convolution of a tile is a product for each of its points, and over all
tiles and channels that is one matrix product a point. A 3x3 kernel and tiles of 4x4 outputs take 36 products where
there were 144; a 4x4 kernel of stride 2, as one of 2x2 for squares of 2x2 pixels, takes 100 where there were 256.

Tiles are worked through a few images at a time, so that what is between two steps stays in the processor's cache.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.kernels.bilinear import Operation, bilinear
from gen_jax.kernels.called import as_a_call
from gen_jax.kernels.winograd_transforms import (
    OUTPUTS,
    tiles_of,
    transform_input,
    transform_kernel,
    transform_kernel_adjoint,
    transform_output,
    transform_output_adjoint,
    transforms,
)

SHARED_CACHE = 10_000_000
"""Bytes of transformed tiles that the only device of a CPU works on at a time; smaller rounds were slower."""

OWN_CACHE = 500_000
"""The same of each of several devices: a core computes its part alone, with what its own cache holds."""

Padding = tuple[int, int]
"""Rows of zeros before and after an image, and columns likewise."""


def winograd(
    x: Float[Array, "batch height width in"], kernel: Float[Array, "taps taps in out"], padding: Padding
) -> Float[Array, "batch rows columns out"]:
    """The convolution of stride 1 with a kernel of at most 3x3, equal to XLA's but for rounding.

    Differentiable in both modes, any number of times.

    Args:
      x: images.
      kernel: as XLA's layout HWIO has it.
      padding: rows of zeros before and after the image, and columns likewise.

    Returns:
      height + padding - taps + 1 rows, and columns likewise.
    """
    return _convolution(len(kernel), padding, False)(x, kernel)


def _convolution(taps: int, padding: Padding, adjoint: bool) -> Operation:
    """The convolution, or that with the kernel reversed and its channels exchanged, which its adjoint is."""
    other = (taps - 1 - padding[0], taps - 1 - padding[1])

    def function(x: jax.Array, kernel: jax.Array) -> jax.Array:
        with as_a_call():
            return convolve(x, kernel, padding, adjoint=adjoint)

    def along_x(kernel: jax.Array, cotangent: jax.Array) -> jax.Array:
        return _convolution(taps, other, not adjoint)(cotangent, kernel)

    def along_kernel(x: jax.Array, cotangent: jax.Array) -> jax.Array:
        # The convolution of which this is the adjoint maps the cotangent to x.
        return _correlation(taps, other)(cotangent, x) if adjoint else _correlation(taps, padding)(x, cotangent)

    return bilinear(function, along_x, along_kernel)


def _correlation(taps: int, padding: Padding) -> Operation:
    """The kernel's gradient: <correlation(x, g), k> = <convolution(x, k), g>, linear in each of the three."""
    other = (taps - 1 - padding[0], taps - 1 - padding[1])

    def function(x: jax.Array, cotangent: jax.Array) -> jax.Array:
        with as_a_call():
            return kernel_gradient(x, cotangent, taps, padding)

    def along_x(other_cotangent: jax.Array, kernel: jax.Array) -> jax.Array:
        return _convolution(taps, other, True)(other_cotangent, kernel)

    def along_cotangent(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return _convolution(taps, padding, False)(x, kernel)

    return bilinear(function, along_x, along_cotangent)


@functools.partial(jax.jit, static_argnames=("padding", "stride", "adjoint"))
def convolve(
    x: Float[Array, "batch height width given"],
    kernel: Float[Array, "taps taps in out"],
    padding: Padding,
    stride: int = 1,
    adjoint: bool = False,
) -> Float[Array, "batch rows columns made"]:
    """The convolution of any stride, whose derivatives are slow.

    Args:
      x: images whose sides, with the padding, the stride divides.
      kernel: as XLA's layout HWIO has it; of the stride times 1, 2 or 3 taps.
      padding: rows of zeros before and after the image, and columns likewise.
      stride: in both directions.
      adjoint: of stride 1 alone, the kernel is reversed and its channels are exchanged: `given` are then its outputs.
    """
    taps = len(kernel)
    matrices = transforms(taps // stride)
    height, width = ((side + sum(padding) - taps) // stride + 1 for side in x.shape[1:3])
    transformed = transform_kernel(kernel[::-1, ::-1] if adjoint else kernel, matrices, stride)
    # The kernel is taken as it lies in memory: to exchange its channels first costs more than the products.
    product = "pto,pio->pti" if adjoint else "pti,pio->pto"

    def some(images: jax.Array) -> jax.Array:
        tiles = transform_input(images, matrices, (height, width), padding[0], stride)
        products = jnp.einsum(product, flat(tiles), transformed)
        return transform_output(products.reshape(*tiles.shape[:-1], -1), matrices, (height, width))

    return in_rounds(some, rounds_of(len(x), (height, width), kernel.shape, stride), x)


@functools.partial(jax.jit, static_argnames=("taps", "padding", "stride"))
def kernel_gradient(
    x: Float[Array, "batch height width in"],
    cotangent: Float[Array, "batch rows columns out"],
    taps: int,
    padding: Padding,
    stride: int = 1,
) -> Float[Array, "{taps} {taps} in out"]:
    """The gradient of `convolve` with respect to the kernel: G^T [ sum over tiles of (B^T x B) * (A g A^T) ] G."""
    matrices, size = transforms(taps // stride), (cotangent.shape[1], cotangent.shape[2])

    def some(images: jax.Array, gradients: jax.Array) -> jax.Array:
        tiles = transform_input(images, matrices, size, padding[0], stride)
        return jnp.einsum("pti,pto->pio", flat(tiles), flat(transform_output_adjoint(gradients, matrices)))

    rounds = rounds_of(len(x), size, (taps, taps, x.shape[-1], cotangent.shape[-1]), stride)
    return transform_kernel_adjoint(sum_of_rounds(some, rounds, x, cotangent), matrices, stride)


def rounds_of(batch: int, size: tuple[int, int], kernel_shape: tuple[int, ...], stride: int) -> int:
    """The number of rounds for a batch whose outputs have this height and width; it divides the batch.

    Args:
      batch: images.
      size: height and width of the outputs.
      kernel_shape: (taps, taps, in, out).
      stride: of the convolution.
    """
    taps, _, inputs, outputs = kernel_shape
    points = (OUTPUTS + taps // stride - 1) ** 2
    grouped = stride * stride * inputs
    image = 4 * points * math.prod(tiles_of(side) for side in size) * max(grouped, outputs)
    # A program that is lowered for a mesh runs on its devices alone; of another it is not known.
    mesh = jax.sharding.get_abstract_mesh()
    devices = jax.local_device_count() if mesh.empty else max(1, mesh.size // jax.process_count())
    cache = OWN_CACHE if devices > 1 else SHARED_CACHE
    # The kernel is read again in every round, and should not be most of what is read.
    images = max(1, max(cache, 4 * points * grouped * outputs) // image)
    # Outside of `shard_map` the batch may be that of all devices. Each then has a part of every round: one that cannot
    # be split would be fetched and computed whole by every device.
    parts = 1 if mesh.manual_axes else math.gcd(batch, devices)
    return next(n for n in range(1, batch + 1) if batch % (n * parts) == 0 and batch // (n * parts) <= images)


def flat(tiles: jax.Array) -> jax.Array:
    """(points, batch, rows, columns, channels) as (points, tiles, channels)."""
    return tiles.reshape(len(tiles), -1, tiles.shape[-1])


def in_rounds(some: Callable[[jax.Array], jax.Array], rounds: int, images: jax.Array) -> jax.Array:
    """`some(images)`, computed for a few images at a time."""
    if rounds == 1:
        return some(images)
    split = _in_rounds(images, rounds)
    made = jax.eval_shape(some, split[:, 0])

    def round_of(number: jax.Array, done: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(done, some(_hand(split, number)), number, axis=1)

    done = jnp.zeros((len(split), rounds, *made.shape[1:]), made.dtype)
    return jax.lax.fori_loop(0, rounds, round_of, done).reshape(len(images), *made.shape[1:])


def sum_of_rounds(some: Callable[..., jax.Array], rounds: int, *images: jax.Array) -> jax.Array:
    """The sum of `some(*images)` over all images, computed for a few of them at a time."""
    if rounds == 1:
        return some(*images)
    splits = [_in_rounds(array, rounds) for array in images]
    made = jax.eval_shape(some, *(split[:, 0] for split in splits))

    def round_of(number: jax.Array, total: jax.Array) -> jax.Array:
        return total + some(*(_hand(split, number) for split in splits))

    return jax.lax.fori_loop(0, rounds, round_of, jnp.zeros(made.shape, made.dtype))


def _in_rounds(images: jax.Array, rounds: int) -> jax.Array:
    """(batch, ...) as (batch / rounds, rounds, ...), so that each device holds a part of every round."""
    return images.reshape(len(images) // rounds, rounds, *images.shape[1:])


def _hand(dealt: jax.Array, number: jax.Array) -> jax.Array:
    """The images of a round."""
    return jax.lax.dynamic_index_in_dim(dealt, number, axis=1, keepdims=False)
