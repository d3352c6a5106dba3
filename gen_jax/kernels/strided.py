"""A convolution of stride 2 and its adjoint in the forms that are fast on a CPU.

The pair is closed under differentiation: the gradient of one with respect to its input is the other, and both have the
same gradient with respect to the kernel. So a second derivative is as fast as the first.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.kernels import winograd
from gen_jax.kernels.bilinear import Operation, bilinear
from gen_jax.kernels.unfolded import folded, unfolded
from gen_jax.kernels.winograd import Padding

STRIDE = 2


class Form(NamedTuple):
    """How a convolution of stride 2 is computed; differing by rounding alone.

    Attributes:
      convolve: (x, kernel, padding) -> y.
      adjoint: (y, kernel, padding) -> x.
      kernel_gradient: (x, cotangent of y, taps, padding) -> kernel.
    """

    convolve: Callable[[jax.Array, jax.Array, Padding], jax.Array]
    adjoint: Callable[[jax.Array, jax.Array, Padding], jax.Array]
    kernel_gradient: Callable[[jax.Array, jax.Array, int, Padding], jax.Array]


def plain_convolution(
    x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[Padding, Padding] | str = "SAME"
) -> jax.Array:
    """XLA's own convolution, of layouts NHWC and HWIO."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=layout)


def strided(
    x: Float[Array, "batch height width in"],
    kernel: Float[Array, "taps taps in out"],
    padding: Padding,
    form: Form,
) -> Float[Array, "batch height//2 width//2 out"]:
    """The convolution of stride 2.

    Args:
      x: images with an even number of rows and of columns.
      kernel: as XLA's layout HWIO has it.
      padding: taps - 2 in all.
      form: how it is computed, and so are its derivatives.
    """
    return _strided(len(kernel), padding, form)(x, kernel)


def transposed(
    y: Float[Array, "batch height width out"],
    kernel: Float[Array, "taps taps in out"],
    padding: Padding,
    form: Form,
) -> Float[Array, "batch 2*height 2*width in"]:
    """The adjoint of `strided` with the same arguments: <strided(x, k), y> = <x, transposed(y, k)>."""
    return _transposed(len(kernel), padding, form)(y, kernel)


def _strided(taps: int, padding: Padding, form: Form) -> Operation:
    return bilinear(
        lambda x, kernel: form.convolve(x, kernel, padding),
        lambda kernel, cotangent: transposed(cotangent, kernel, padding, form),
        lambda x, cotangent: _kernel_gradient(x, cotangent, taps, padding, form),
    )


def _transposed(taps: int, padding: Padding, form: Form) -> Operation:
    return bilinear(
        lambda y, kernel: form.adjoint(y, kernel, padding),
        lambda kernel, cotangent: strided(cotangent, kernel, padding, form),
        lambda y, cotangent: _kernel_gradient(cotangent, y, taps, padding, form),
    )


def _kernel_gradient(x: jax.Array, cotangent: jax.Array, taps: int, padding: Padding, form: Form) -> jax.Array:
    """The kernel's gradient of `strided`."""
    # Fused with what makes them, the transpositions that XLA's weight gradient begins with are several times slower.
    x, cotangent = jax.lax.optimization_barrier((x, cotangent))
    return form.kernel_gradient(x, cotangent, taps, padding)


def _of_windows(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    return unfolded(x, kernel, STRIDE, padding)


def _to_windows(y: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    return folded(y, kernel, STRIDE, padding)


def _of_pixels(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    return plain_convolution(x, kernel, STRIDE, (padding, padding))


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


def _by_differentiation(convolve: Callable[[jax.Array, jax.Array, Padding], jax.Array]) -> Callable[..., jax.Array]:
    """The kernel's gradient by automatic differentiation."""

    def gradient(x: jax.Array, cotangent: jax.Array, taps: int, padding: Padding) -> jax.Array:
        kernel = jnp.zeros((taps, taps, x.shape[-1], cotangent.shape[-1]), x.dtype)
        return jax.vjp(lambda kernel: convolve(x, kernel, padding), kernel)[1](cotangent)[0]

    return gradient


def _winograd(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    return winograd.convolve(x, kernel, padding, STRIDE)


def _winograd_gradient(x: jax.Array, cotangent: jax.Array, taps: int, padding: Padding) -> jax.Array:
    return winograd.kernel_gradient(x, cotangent, taps, padding, STRIDE)


WINDOWS = Form(_of_windows, _to_windows, _by_differentiation(_of_windows))
"""One matrix product; for even kernels, whose windows are whole groups of pixels."""

WINOGRAD = Form(_winograd, _to_windows, _winograd_gradient)
"""Winograd's form, for kernels of 4x4 or 6x6 with many channels; not for the adjoint, where it saves no time."""

PIXELS = Form(_of_pixels, _by_sorts, _by_differentiation(_of_pixels))
"""XLA's own for kernels of any size, except for the adjoint."""
