"""Convolutions of stride 1 by Winograd's minimal filtering: a quarter of the products, for a CPU.

Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, arXiv 1509.09308, section 4. An image is cut into
overlapping tiles; in a transformed domain the convolution of a tile is a product for each of its points, and over all
tiles and channels that is one matrix product a point:

    y = A^T [ (G w G^T) * (B^T x B) ] A

A 3x3 kernel and tiles of 4x4 outputs take 36 products where there were 144. Tiles are worked through a few images at a
time, so that what is between two steps stays in the processor's cache.

The points at which polynomials are evaluated (Toom and Cook) decide the rounding error: with 0, 1, -1, 1/2, -2 it is a
few times that of the plain convolution, and less than with the common 0, 1, -1, 2, -2. Barabasz et al., Error analysis
and improving the accuracy of Winograd convolution for deep neural networks, arXiv 1803.10986, table 3 has this choice.
"""

import functools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Float

OUTPUTS = 4
"""Side of the tiles in which outputs are computed."""

POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2))

CACHE = 5_000_000
"""Bytes of transformed tiles that are worked on at a time: what was fastest for caches of 1 MiB a core."""

CACHE_OF_GRADIENT = 2 * CACHE
"""The same for the gradient of the kernel: of smaller products XLA gives each to a single core."""


class Transforms(NamedTuple):
    """The matrices of one dimension, for `outputs` outputs and a kernel of `taps`; points = outputs + taps - 1.

    Attributes:
      output: A^T, (outputs, points).
      kernel: G, (points, taps).
      input: B^T, (points, points).
    """

    output: np.ndarray
    kernel: np.ndarray
    input: np.ndarray


@functools.cache
def transforms(taps: int, outputs: int = OUTPUTS) -> Transforms:
    """Toom and Cook's matrices over the first of `POINTS` and infinity.

    A row of A^T holds a power of every point, one of G the powers that a point gives to the taps, divided by its
    distances to the others; a row of B^T holds the coefficients of the polynomial with all other points as roots.
    """
    finite = POINTS[: outputs + taps - 2]
    powers = [[point**power for point in finite] + [Fraction(power == outputs - 1)] for power in range(outputs)]
    kernel = []
    rows = []
    for point in finite:
        others = [other for other in finite if other != point]
        distance = functools.reduce(lambda product, other: product * (point - other), others, Fraction(1))
        kernel.append([point**power / distance for power in range(taps)])
        rows.append([*_coefficients(others), Fraction(0)])
    kernel.append([Fraction(0)] * (taps - 1) + [Fraction(1)])
    rows.append(_coefficients(finite))
    return Transforms(*(np.array(matrix, np.float64) for matrix in (powers, kernel, rows)))


def _coefficients(roots: Sequence[Fraction]) -> list[Fraction]:
    """Of the polynomial with these roots and a leading 1, from the constant upwards."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


def winograd(
    x: Float[Array, "batch height width in"], kernel: Float[Array, "taps taps in out"], padding: tuple[int, int]
) -> Float[Array, "batch rows columns out"]:
    """The convolution of stride 1 with a kernel of at most 3x3, equal to XLA's but for rounding.

    Differentiable in reverse mode any number of times; not in forward mode.

    Args:
      x: images.
      kernel: as XLA's layout HWIO has it.
      padding: rows of zeros before and after the image, and columns likewise.

    Returns:
      height + padding - taps + 1 rows, and columns likewise.
    """
    return _convolution(x, kernel, padding, False)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolution(x: jax.Array, kernel: jax.Array, padding: tuple[int, int], adjoint: bool) -> jax.Array:
    """The convolution, or that with the kernel reversed and its channels exchanged, which its adjoint is."""
    with compiled_once():
        return _convolve(x, kernel, padding, adjoint)


def _forward(
    x: jax.Array, kernel: jax.Array, padding: tuple[int, int], adjoint: bool
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolution(x, kernel, padding, adjoint), (x, kernel)


def _backward(
    padding: tuple[int, int], adjoint: bool, residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    taps = len(kernel)
    other = (taps - 1 - padding[0], taps - 1 - padding[1])
    along_x = _convolution(cotangent, kernel, other, not adjoint)
    # The convolution of which this is the adjoint maps the cotangent to x.
    along_kernel = _correlation(cotangent, x, taps, other) if adjoint else _correlation(x, cotangent, taps, padding)
    return along_x, along_kernel


_convolution.defvjp(_forward, _backward)


def compiled_once() -> Any:
    """Calls of a jitted function that XLA compiles once for all that have the same shapes, not inlined into each."""
    return set_xla_metadata(inlineable="false")


@functools.partial(jax.jit, static_argnames=("padding", "adjoint"))
def _convolve(x: jax.Array, kernel: jax.Array, padding: tuple[int, int], adjoint: bool) -> jax.Array:
    batch, taps = len(x), len(kernel)
    matrices = transforms(taps)
    height, width = (size + sum(padding) - taps + 1 for size in x.shape[1:3])
    transformed = transform_kernel(kernel[::-1, ::-1] if adjoint else kernel, matrices)
    # The kernel is taken as it lies in memory: to exchange its channels first costs more than the products.
    product = "pto,pio->pti" if adjoint else "pti,pio->pto"

    def convolve(images: jax.Array) -> jax.Array:
        tiles = transform_input(images, matrices, (height, width), padding[0])
        products = jnp.einsum(product, flat(tiles), transformed)
        return transform_output(products.reshape(*tiles.shape[:-1], -1), matrices)[:, :height, :width]

    rounds = rounds_of(batch, (height, width), kernel.shape, CACHE)
    if rounds == 1:
        return convolve(x)

    def some(number: jax.Array, y: jax.Array) -> jax.Array:
        return put(y, convolve(pick(images, number)), number)

    images = in_rounds(x, rounds)
    y = jnp.zeros((batch // rounds, rounds, height, width, kernel.shape[2 if adjoint else 3]), x.dtype)
    return jax.lax.fori_loop(0, rounds, some, y).reshape(batch, height, width, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _correlation(x: jax.Array, cotangent: jax.Array, taps: int, padding: tuple[int, int]) -> jax.Array:
    """The kernel's gradient: <correlation(x, g), k> = <convolution(x, k), g>, linear in each of the three."""
    with compiled_once():
        return kernel_gradient(x, cotangent, taps, padding)


def _correlation_forward(
    x: jax.Array, cotangent: jax.Array, taps: int, padding: tuple[int, int]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _correlation(x, cotangent, taps, padding), (x, cotangent)


def _correlation_backward(
    taps: int, padding: tuple[int, int], residuals: tuple[jax.Array, jax.Array], kernel: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, cotangent = residuals
    other = (taps - 1 - padding[0], taps - 1 - padding[1])
    return _convolution(cotangent, kernel, other, True), _convolution(x, kernel, padding, False)


_correlation.defvjp(_correlation_forward, _correlation_backward)


@functools.partial(jax.jit, static_argnames=("taps", "padding"))
def kernel_gradient(
    x: Float[Array, "batch height width in"],
    cotangent: Float[Array, "batch rows columns out"],
    taps: int,
    padding: tuple[int, int],
) -> Float[Array, "{taps} {taps} in out"]:
    """The gradient with respect to the kernel: G^T [ sum over tiles of (B^T x B) * (A g A^T) ] G."""
    matrices = transforms(taps)
    size = cotangent.shape[1], cotangent.shape[2]

    def correlate(images: jax.Array, gradients: jax.Array) -> jax.Array:
        tiles = transform_input(images, matrices, size, padding[0])
        return jnp.einsum("pti,pto->pio", flat(tiles), flat(transform_cotangent(gradients, matrices)))

    rounds = rounds_of(len(x), size, (taps, taps, x.shape[-1], cotangent.shape[-1]), CACHE_OF_GRADIENT)
    if rounds == 1:
        return transform_gradient(correlate(x, cotangent), matrices)

    def some(number: jax.Array, total: jax.Array) -> jax.Array:
        return total + correlate(pick(images, number), pick(gradients, number))

    images, gradients = in_rounds(x, rounds), in_rounds(cotangent, rounds)
    total = jnp.zeros((matrices.input.size, x.shape[-1], cotangent.shape[-1]), x.dtype)
    return transform_gradient(jax.lax.fori_loop(0, rounds, some, total), matrices)


def rounds_of(batch: int, size: tuple[int, int], kernel_shape: tuple[int, ...], cache: int) -> int:
    """In how many rounds a batch is worked through whose outputs have this height and width; a divisor of it.

    Args:
      batch: images.
      size: height and width of the outputs.
      kernel_shape: (taps, taps, in, out).
      cache: bytes of transformed tiles of a round.
    """
    taps, _, inputs, outputs = kernel_shape
    points = (OUTPUTS + taps - 1) ** 2
    tiles = math.prod(-(-side // OUTPUTS) for side in size)
    image = 4 * points * tiles * max(inputs, outputs)
    # The kernel is read again in every round, and should not be most of what is read.
    images = max(1, max(cache, 4 * points * inputs * outputs) // image)
    return next(rounds for rounds in range(1, batch + 1) if batch % rounds == 0 and batch // rounds <= images)


def flat(tiles: jax.Array) -> jax.Array:
    """(points, batch, rows, columns, channels) as (points, tiles, channels)."""
    return tiles.reshape(len(tiles), -1, tiles.shape[-1])


def in_rounds(x: jax.Array, rounds: int) -> jax.Array:
    """(batch, ...) as (batch / rounds, rounds, ...): a round takes a part of what each of a few devices holds."""
    return x.reshape(len(x) // rounds, rounds, *x.shape[1:])


def pick(images: jax.Array, number: jax.Array) -> jax.Array:
    """The images of a round."""
    return jax.lax.dynamic_index_in_dim(images, number, axis=1, keepdims=False)


def put(images: jax.Array, some: jax.Array, number: jax.Array) -> jax.Array:
    """The images with those of a round replaced."""
    return jax.lax.dynamic_update_index_in_dim(images, some, number, axis=1)


def transform_input(
    x: Float[Array, "batch height width channels"], matrices: Transforms, size: tuple[int, int], before: int
) -> Float[Array, "points batch rows columns channels"]:
    """B^T x B of every tile, the tiles of each point together.

    Args:
      x: images.
      matrices: of the kernel's size.
      size: height and width of the outputs.
      before: rows and columns of zeros before the image.
    """
    rows, columns = (-(-side // OUTPUTS) for side in size)
    # One tile more than there are, of which the last ones take their overlap.
    after = [OUTPUTS * (tiles + 1) - before - side for tiles, side in zip((rows, columns), x.shape[1:3], strict=True)]
    padded = jnp.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)))
    along_height = jnp.stack(_combine(matrices.input, _overlapping(padded, 1, rows, len(matrices.input))))
    along_both = jnp.stack(_combine(matrices.input, _overlapping(along_height, 3, columns, len(matrices.input))))
    return along_both.reshape(-1, *along_both.shape[2:])


def _overlapping(x: jax.Array, axis: int, tiles: int, points: int) -> list[jax.Array]:
    """The first, second, … of each tile's `points` elements along an axis; a tile begins every `OUTPUTS`."""
    split = x.reshape(*x.shape[:axis], tiles + 1, OUTPUTS, *x.shape[axis + 1 :])

    def element(number: int) -> jax.Array:
        start, within = divmod(number, OUTPUTS)
        tile = jax.lax.slice_in_dim(split, start, start + tiles, axis=axis)
        return jax.lax.index_in_dim(tile, within, axis + 1, keepdims=False)

    return [element(number) for number in range(points)]


def transform_kernel(kernel: Float[Array, "taps taps in out"], matrices: Transforms) -> Float[Array, "points in out"]:
    """G w G^T; the points of the width come first, as in `transform_input`."""
    along_height = jnp.stack(_combine(matrices.kernel, list(kernel)), axis=1)
    along_both = jnp.stack(_combine(matrices.kernel, list(along_height)))
    return along_both.reshape(-1, *kernel.shape[2:])


def transform_output(
    products: Float[Array, "points batch rows columns channels"], matrices: Transforms
) -> Float[Array, "batch height width channels"]:
    """A^T m A of every tile, the tiles put together again."""
    side = len(matrices.input)
    _, batch, rows, columns, channels = products.shape
    along_width = _combine(matrices.output, list(products.reshape(side, side, batch, rows, columns, channels)))
    # (points of the height, batch, rows, columns, OUTPUTS, channels)
    stacked = jnp.stack(along_width, axis=4)
    tiles = jnp.stack(_combine(matrices.output, list(stacked)), axis=2)
    return tiles.reshape(batch, rows * OUTPUTS, columns * OUTPUTS, channels)


def transform_cotangent(
    cotangent: Float[Array, "batch height width channels"], matrices: Transforms
) -> Float[Array, "points batch rows columns channels"]:
    """A g A^T of every tile of outputs: the adjoint of `transform_output`."""
    batch, height, width, channels = cotangent.shape
    rows, columns = -(-height // OUTPUTS), -(-width // OUTPUTS)
    padded = jnp.pad(cotangent, ((0, 0), (0, rows * OUTPUTS - height), (0, columns * OUTPUTS - width), (0, 0)))
    tiles = padded.reshape(batch, rows, OUTPUTS, columns, OUTPUTS, channels)
    along_height = jnp.stack(_combine(matrices.output.T, [tiles[:, :, number] for number in range(OUTPUTS)]))
    along_both = jnp.stack(_combine(matrices.output.T, [along_height[..., number, :] for number in range(OUTPUTS)]))
    return along_both.reshape(-1, *along_both.shape[2:])


def transform_gradient(
    products: Float[Array, "points in out"], matrices: Transforms
) -> Float[Array, "taps taps in out"]:
    """G^T u G: the adjoint of `transform_kernel`."""
    side = len(matrices.input)
    along_width = _combine(matrices.kernel.T, list(products.reshape(side, side, *products.shape[1:])))
    return jnp.stack(_combine(matrices.kernel.T, list(jnp.stack(along_width, axis=1))))


def _combine(matrix: np.ndarray, arrays: list[jax.Array]) -> list[jax.Array]:
    """matrix @ arrays, without products with 0 and 1."""
    return [_weighted_sum(row, arrays) for row in matrix]


def _weighted_sum(weights: np.ndarray, arrays: list[jax.Array]) -> jax.Array:
    scaled: dict[float, Callable[[jax.Array], jax.Array]] = {1.0: lambda array: array, -1.0: lambda array: -array}
    terms = [
        scaled.get(weight, lambda array, weight=weight: array * jnp.asarray(weight, array.dtype))(array)
        for weight, array in zip(weights.tolist(), arrays, strict=True)
        if weight
    ]
    return functools.reduce(jnp.add, terms)
