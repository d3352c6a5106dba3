"""A convolution and its adjoint, each as one matrix product: what a CPU shares out among its cores best.

XLA's CPU backend gives a convolution of few channels to a single core, a matrix product of many rows to all of them.
The window of every output becomes a row of a matrix (often called im2col), or every row of a product is a window that
is added to the outputs (col2im). Neither has the zeros that a stride puts between pixels. The windows take the memory
of (taps / stride)^2 images.

Whole groups of `stride` pixels lie side by side in memory and are moved as one: taps is a multiple of the stride.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.kernels.product import product


def unfolded(
    x: Float[Array, "batch height width in"],
    kernel: Float[Array, "taps taps in out"],
    stride: int,
    padding: tuple[int, int],
) -> Float[Array, "batch rows columns out"]:
    """The convolution.

    Args:
      x: images whose sides the stride divides.
      kernel: as XLA's layout HWIO has it.
      stride: a divisor of taps.
      padding: rows of zeros before and after the image, and columns likewise; taps - stride of them in all.

    Returns:
      As many rows and columns as x has over the stride.
    """
    batch, height, width, channels = x.shape
    rows, columns, groups = height // stride, width // stride, len(kernel) // stride
    padded = jnp.pad(x, ((0, 0), padding, padding, (0, 0)))
    pixels = padded.reshape(batch, rows + groups - 1, stride, columns + groups - 1, stride * channels)
    windows = [
        pixels[:, row : row + rows, phase, column : column + columns]
        for row in range(groups)
        for phase in range(stride)
        for column in range(groups)
    ]
    matrix = jnp.stack(windows, axis=3).reshape(batch * rows * columns, -1)
    return product(matrix, kernel.reshape(matrix.shape[1], -1)).reshape(batch, rows, columns, -1)


def folded(
    y: Float[Array, "batch height width out"],
    kernel: Float[Array, "taps taps in out"],
    stride: int,
    padding: tuple[int, int],
) -> Float[Array, "batch rows columns in"]:
    """The adjoint of `unfolded` with the same arguments: <unfolded(x, k), y> = <x, folded(y, k)>.

    Returns:
      The stride times as many rows and columns as y has.
    """
    batch, height, width, channels = y.shape
    taps, _, inputs, _ = kernel.shape
    groups = taps // stride
    # Added up before they are rounded to what `y` is in.
    matrix = jnp.matmul(y.reshape(-1, channels), kernel.reshape(-1, channels).T, preferred_element_type=jnp.float32)
    windows = matrix.reshape(batch, height, width, groups, stride, groups, stride, inputs)

    def shifted(row: int, column: int) -> jax.Array:
        window = windows[:, :, :, row, :, column].swapaxes(2, 3)
        pads = [(0, 0), (row, groups - 1 - row), (0, 0), (column, groups - 1 - column), (0, 0), (0, 0)]
        return jnp.pad(window, pads)

    pixels = functools.reduce(jnp.add, [shifted(row, column) for row in range(groups) for column in range(groups)])
    images = pixels.reshape(batch, stride * (height + groups - 1), stride * (width + groups - 1), inputs)
    before, _ = padding
    return images[:, before : before + stride * height, before : before + stride * width].astype(y.dtype)
