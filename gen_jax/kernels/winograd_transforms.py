"""The transforms of Winograd's minimal filtering and their adjoints.

Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, arXiv 1509.09308, section 4: the convolution of a tile
x with a kernel w is a product for each point of a transformed domain,

    y = A^T [ (G w G^T) * (B^T x B) ] A

The points at which polynomials are evaluated (Toom and Cook) decide the rounding error: with 0, 1, -1, 1/2, -2 it is a
few times that of the plain convolution, and less than with the common 0, 1, -1, 2, -2. Barabasz et al., Error analysis
and improving the accuracy of Winograd convolution for deep neural networks, arXiv 1803.10986, table 3 has this choice.

Tiles of transformed arrays are (points, batch, rows, columns, channels); of the points those of the width come first.
With a stride, the pixels of a stride x stride square count as the channels of one: a kernel of 4x4 is then one of 2x2.
"""

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

OUTPUTS = 4
"""Side of the tiles in which outputs are computed."""

POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2))


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


def tiles_of(side: int) -> int:
    """How many tiles cover so many outputs."""
    return -(-side // OUTPUTS)


def transform_input(
    x: Float[Array, "batch height width channels"],
    matrices: Transforms,
    size: tuple[int, int],
    before: int,
    stride: int,
) -> Float[Array, "points batch rows columns {stride}*{stride}*channels"]:
    """B^T x B of every tile.

    Args:
      x: images.
      matrices: of the kernel's size over the stride.
      size: height and width of the outputs.
      before: rows and columns of zeros before the image.
      stride: of the convolution.
    """
    batch, *sides, channels = x.shape
    points = len(matrices.input)
    rows, columns = (tiles_of(side) for side in size)
    height, width = (OUTPUTS * (tiles - 1) + points for tiles in (rows, columns))
    after = [stride * side - before - had for side, had in zip((height, width), sides, strict=True)]
    padded = jnp.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)))
    # Fused with the padding, the sums ask of every element whether it is there.
    padded = jax.lax.optimization_barrier(padded).reshape(batch, height, stride, stride * width, channels)
    along_height = jnp.stack(_combine(matrices.input, _overlapping(padded, 1, rows, points)))
    along_height = along_height.reshape(points, batch, rows, stride, width, stride * channels)
    along_both = _combine(matrices.input, _overlapping(along_height, 4, columns, points))
    tiles = jnp.stack([tile.swapaxes(3, 4) for tile in along_both])
    return tiles.reshape(-1, batch, rows, columns, stride * stride * channels)


def transform_kernel(
    kernel: Float[Array, "taps taps in out"], matrices: Transforms, stride: int
) -> Float[Array, "points grouped out"]:
    """G w G^T, of a kernel with the matrices' taps times the stride."""
    points, taps = matrices.kernel.shape
    _, _, inputs, outputs = kernel.shape
    split = kernel.reshape(taps, stride, taps, stride, inputs, outputs).transpose(0, 2, 1, 3, 4, 5)
    transformed = _on_both_axes(matrices.kernel, kernel.dtype) @ split.reshape(taps * taps, -1)
    return transformed.reshape(points * points, stride * stride * inputs, outputs)


def transform_kernel_adjoint(
    products: Float[Array, "points grouped out"], matrices: Transforms, stride: int
) -> Float[Array, "taps taps in out"]:
    """G^T u G."""
    _, taps = matrices.kernel.shape
    split = _on_both_axes(matrices.kernel, products.dtype).T @ products.reshape(len(products), -1)
    kernel = split.reshape(taps, taps, stride, stride, -1, products.shape[-1]).transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(stride * taps, stride * taps, *kernel.shape[4:])


def _on_both_axes(matrix: Float[np.ndarray, "points taps"], dtype: Any) -> Float[Array, "points*points taps*taps"]:
    """What a matrix does to the height and to the width, as one: points of the width come first, taps of the height."""
    points, taps = matrix.shape
    return jnp.asarray(np.einsum("wb,ha->whab", matrix, matrix).reshape(points**2, taps**2), dtype)


def transform_output(
    products: Float[Array, "points batch rows columns channels"], matrices: Transforms, size: tuple[int, int]
) -> Float[Array, "batch height width channels"]:
    """A^T m A of every tile, of which those at the end may reach beyond the size (height, width)."""
    side = len(matrices.input)
    _, batch, rows, columns, channels = products.shape
    along_width = _combine(matrices.output, list(products.reshape(side, side, batch, rows, columns, channels)))
    # (points of the height, batch, rows, columns, OUTPUTS, channels)
    stacked = jnp.stack(along_width, axis=4)
    tiles = jnp.stack(_combine(matrices.output, list(stacked)), axis=2)
    images = tiles.reshape(batch, rows * OUTPUTS, columns * OUTPUTS, channels)
    return images[:, : size[0], : size[1]]


def transform_output_adjoint(
    y: Float[Array, "batch height width channels"], matrices: Transforms
) -> Float[Array, "points batch rows columns channels"]:
    """A y A^T of every tile."""
    batch, height, width, channels = y.shape
    rows, columns = tiles_of(height), tiles_of(width)
    padded = jnp.pad(y, ((0, 0), (0, rows * OUTPUTS - height), (0, columns * OUTPUTS - width), (0, 0)))
    tiles = padded.reshape(batch, rows, OUTPUTS, columns, OUTPUTS, channels)
    along_height = jnp.stack(_combine(matrices.output.T, [tiles[:, :, number] for number in range(OUTPUTS)]))
    along_both = jnp.stack(_combine(matrices.output.T, [along_height[..., number, :] for number in range(OUTPUTS)]))
    return along_both.reshape(-1, batch, rows, columns, channels)


def _overlapping(x: jax.Array, axis: int, tiles: int, points: int) -> list[jax.Array]:
    """The first, second, … of each tile's `points` elements along an axis; a tile begins every `OUTPUTS`."""
    last = OUTPUTS * (tiles - 1) + 1
    return [jax.lax.slice_in_dim(x, number, number + last, OUTPUTS, axis) for number in range(points)]


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
