"""A convolution of stride 2 and its adjoint, each in the form that is fastest on a CPU.

The pair is closed under differentiation: the gradient of one with respect to its input is the other, and both have the
same gradient with respect to the kernel. So a second derivative is as fast as the first.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.models.unfolded import folded, unfolded
from gen_jax.models.winograd import winograd

STRIDE = 2

Padding = tuple[int, int]
"""Rows of zeros before and after an image, and columns likewise."""


def plain_convolution(
    x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[Padding, Padding] | str = "SAME"
) -> jax.Array:
    """XLA's own convolution, of layouts NHWC and HWIO."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=layout)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def strided(
    x: Float[Array, "batch height width in"],
    kernel: Float[Array, "taps taps in out"],
    padding: Padding,
    in_blocks: bool,
) -> Float[Array, "batch height//2 width//2 out"]:
    """The convolution of stride 2.

    Args:
      x: images with an even number of rows and of columns.
      kernel: as XLA's layout HWIO has it.
      padding: taps - 2 in all.
      in_blocks: whether a gradient with respect to a 4x4 kernel is taken by `_of_blocks`: for wide and large ones.
    """
    return _formula(kernel)(x, kernel, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def transposed(
    y: Float[Array, "batch height width out"],
    kernel: Float[Array, "taps taps in out"],
    padding: Padding,
    in_blocks: bool,
) -> Float[Array, "batch 2*height 2*width in"]:
    """The adjoint of `strided` with the same arguments: <strided(x, k), y> = <x, transposed(y, k)>."""
    return folded(y, kernel, STRIDE, padding) if _is_even(kernel) else _by_sorts(y, kernel, padding)


def _by_sorts(y: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """`transposed` for kernels of any size.

    Pixels of even and of odd rows and columns see different taps of the kernel. Each of these four sorts is a
    convolution of stride 1, without the zeros that stand between the pixels in XLA's form.
    """
    batch, height, width, _ = y.shape
    flipped = kernel.swapaxes(2, 3)

    def sort(row: int, column: int) -> jax.Array:
        rows, pads = _taps_of(row, len(kernel), padding[0])
        columns, other_pads = _taps_of(column, len(kernel), padding[0])
        return plain_convolution(y, flipped[rows, columns], 1, (pads, other_pads))

    sorts = [jnp.stack([sort(row, column) for column in range(STRIDE)], axis=3) for row in range(STRIDE)]
    return jnp.stack(sorts, axis=2).reshape(batch, STRIDE * height, STRIDE * width, -1)


def _taps_of(phase: int, taps: int, before: int) -> tuple[slice, Padding]:
    """The taps that reach the pixels 2i + phase, nearest output first, and the padding of the outputs they come from.

    Tap t of output o reaches the pixel 2o - before + t.
    """
    reaching = [tap for tap in reversed(range(taps)) if (phase + before - tap) % STRIDE == 0]
    offsets = [(phase + before - tap) // STRIDE for tap in reaching]
    last = reaching[-1] - STRIDE
    return slice(reaching[0], last if last >= 0 else None, -STRIDE), (-offsets[0], offsets[-1])


def _kernel_gradient(
    x: jax.Array, cotangent: jax.Array, kernel: jax.Array, padding: Padding, in_blocks: bool
) -> jax.Array:
    """Of `strided`. The kernel gives its shape alone."""
    # Fused with what makes them, the transpositions that XLA's weight gradient begins with are several times slower.
    x, cotangent = jax.lax.optimization_barrier((x, cotangent))
    formula = _of_blocks if in_blocks and len(kernel) == 2 * STRIDE else _formula(kernel)
    return jax.vjp(lambda kernel: formula(x, kernel, padding), jnp.zeros_like(kernel))[1](cotangent)[0]


def _strided_backward(
    padding: Padding, in_blocks: bool, residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    along_x = transposed(cotangent, kernel, padding, in_blocks)
    return along_x, _kernel_gradient(x, cotangent, kernel, padding, in_blocks)


def _transposed_backward(
    padding: Padding, in_blocks: bool, residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    y, kernel = residuals
    along_y = strided(cotangent, kernel, padding, in_blocks)
    return along_y, _kernel_gradient(cotangent, y, kernel, padding, in_blocks)


strided.defvjp(lambda x, kernel, *options: (strided(x, kernel, *options), (x, kernel)), _strided_backward)
transposed.defvjp(lambda y, kernel, *options: (transposed(y, kernel, *options), (y, kernel)), _transposed_backward)


def _is_even(kernel: jax.Array) -> bool:
    """Whether windows are whole groups of pixels."""
    return len(kernel) % STRIDE == 0


def _formula(kernel: jax.Array) -> Callable[[jax.Array, jax.Array, Padding], jax.Array]:
    return _of_windows if _is_even(kernel) else _of_pixels


def _of_windows(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    return unfolded(x, kernel, STRIDE, padding)


def _of_pixels(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    return plain_convolution(x, kernel, STRIDE, (padding, padding))


def _of_blocks(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """A stride of 2 with a kernel of at most 4x4, as a stride of 1 with one of 2x2 on blocks of 2x2 pixels."""
    batch, height, width, channels = x.shape
    before, _ = padding
    rows, columns = height // STRIDE + 1, width // STRIDE + 1
    after = 2 * STRIDE - len(kernel)
    widened = jnp.pad(kernel, ((0, after), (0, after), (0, 0), (0, 0)))
    taps = widened.reshape(2, STRIDE, 2, STRIDE, *kernel.shape[2:]).transpose(0, 2, 1, 3, 4, 5)
    pads = [(before, STRIDE * blocks - size - before) for blocks, size in ((rows, height), (columns, width))]
    blocks = jnp.pad(x, ((0, 0), *pads, (0, 0))).reshape(batch, rows, STRIDE, columns, STRIDE, channels)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, STRIDE * STRIDE * channels)
    return winograd(blocks, taps.reshape(2, 2, STRIDE * STRIDE * channels, -1), (0, 0))
