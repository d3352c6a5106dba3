"""Convolutions of stride 1 and 2 and transposed ones: XLA's own, and on a CPU in the form that is fastest there.

The forms differ by rounding alone. Layouts are NHWC for images and HWIO for kernels. All functions can be
differentiated in forward and reverse mode, any number of times (a gradient penalty does so twice).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.kernels.bilinear import Operation
from gen_jax.kernels.platform import per_platform
from gen_jax.kernels.recorded import record
from gen_jax.kernels.strided import PIXELS, STRIDE, WINDOWS, WINOGRAD, Form, plain_convolution, strided, transposed
from gen_jax.kernels.unfolded import folded, unfolded
from gen_jax.kernels.winograd import Padding, winograd

CHANNELS = 16
"""Channels on both sides from which on Winograd's form is faster: with fewer, the tiles cost more than they save."""

NARROW = 4
"""Channels on either side up to which one matrix product is faster: those of an image, and one for its opacity."""

PRODUCTS = 50e6
"""Products of a plain convolution from which on Winograd's form is worth the time that it takes to compile."""


def same_padding(taps: int, stride: int) -> Padding:
    """The padding SAME of an image whose size the stride divides."""
    excess = max(taps - stride, 0)
    return excess // 2, excess - excess // 2


def convolution(
    x: Float[Array, "batch height width in"], kernel: Float[Array, "taps taps in out"], stride: int = 1
) -> Float[Array, "batch rows columns out"]:
    """The convolution of padding SAME; on a CPU in another form where that pays."""
    taps = len(kernel)
    padding = same_padding(taps, stride)

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return plain_convolution(x, kernel, stride)

    if x.dtype != jnp.float32:
        # In fewer bits than float32, the rounding errors of another form are not negligible.
        record(kernel.shape, other_form=False)
        return plain(x, kernel)
    if stride == 1:
        fast = _of_stride_1(x, kernel, padding)
    elif stride == STRIDE and taps >= STRIDE and x.shape[1] % stride == 0 and x.shape[2] % stride == 0:
        fast = _of_stride_2(x, kernel, padding)
    else:
        fast = None
    # Pixels of a stride are computed by convolutions of XLA's own.
    record(kernel.shape, other_form=fast is not None and (stride == 1 or taps % STRIDE == 0))
    return per_platform(cpu=fast, default=plain)(x, kernel) if fast else plain(x, kernel)


def _of_stride_1(x: jax.Array, kernel: jax.Array, padding: Padding) -> Operation | None:
    """The form for a CPU; None where that is XLA's own."""
    taps, _, inputs, outputs = kernel.shape
    if taps == 1 or inputs <= NARROW:
        return lambda x, kernel: unfolded(x, kernel, 1, padding)
    if outputs <= NARROW:
        # The convolution with the kernel reversed and its channels exchanged has this one as its adjoint.
        return lambda x, kernel: folded(x, kernel[::-1, ::-1].swapaxes(2, 3), 1, padding[::-1])
    if taps == 3 and _is_wide(kernel) and _is_large(_pixels(x), kernel):
        return lambda x, kernel: winograd(x, kernel, padding)
    return None


def _of_stride_2(x: jax.Array, kernel: jax.Array, padding: Padding) -> Operation | None:
    """The form for a CPU; None where that is XLA's own."""
    if len(kernel) % STRIDE == 0 or _is_wide(kernel):
        form = form_of_stride_2(_pixels(x) // STRIDE**2, kernel)
        return lambda x, kernel: strided(x, kernel, padding, form)
    return None


def form_of_stride_2(outputs: int, kernel: jax.Array) -> Form:
    """The fastest form of a convolution with so many output pixels, over all images, and of its adjoint."""
    if len(kernel) % STRIDE:
        return PIXELS
    return WINOGRAD if len(kernel) in (4, 6) and _is_wide(kernel) and _is_large(outputs, kernel) else WINDOWS


def transposed_convolution(
    x: Float[Array, "batch height width in"], kernel: Float[Array, "taps taps in out"]
) -> Float[Array, "batch 2*height 2*width out"]:
    """`jax.lax.conv_transpose` of stride 2 and padding SAME.

    It is the adjoint of a convolution S of stride 2:

        <T(x, w), g> = <x, S(g, w')>,   w' = w with its two spatial axes reversed and its channels exchanged

    and so is its weight gradient that of S, while XLA's own is 10 to 20 times slower on a CPU.

    Raises:
      ValueError: a kernel smaller than the stride, which would leave pixels that nothing reaches.
    """
    taps = len(kernel)
    if taps < STRIDE:
        raise ValueError(f"needs a kernel of at least {STRIDE}x{STRIDE}, got {kernel.shape[:2]}")
    padding = same_padding(taps, STRIDE)

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_transpose(x, kernel, (STRIDE, STRIDE), "SAME")

    form = form_of_stride_2(_pixels(x), kernel)

    def adjoint(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return transposed(x, kernel[::-1, ::-1].swapaxes(2, 3), padding, form)

    record(kernel.shape, other_form=form is not PIXELS)
    return per_platform(cpu=adjoint, default=plain)(x, kernel)


def _is_wide(kernel: jax.Array) -> bool:
    """Whether a kernel has enough channels for Winograd's form."""
    return min(kernel.shape[2:]) >= CHANNELS


def _is_large(outputs: int, kernel: jax.Array) -> bool:
    """Whether so many output pixels, over all images, take enough products for Winograd's form."""
    return outputs * kernel.size >= PRODUCTS


def _pixels(images: jax.Array) -> int:
    """The number of pixels of all images."""
    return images.size // images.shape[-1]
