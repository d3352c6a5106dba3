"""Functions of two arrays that are linear in each, with gradients in forms of their own."""

from collections.abc import Callable
from typing import Any

import jax

from gen_jax.kernels.linear import linear, total

Operation = Callable[[jax.Array, jax.Array], jax.Array]


def bilinear(function: Operation, along_first: Operation, along_second: Operation) -> Operation:
    """`function`, a product or a convolution, with these gradients.

    Args:
      function: (x, kernel) -> y, linear in each.
      along_first: (kernel, cotangent of y) -> cotangent of x.
      along_second: (x, cotangent of y) -> cotangent of the kernel.

    Returns:
      What can be differentiated as often as all three can, in both modes. Reverse mode keeps the operands alone.
    """

    @jax.custom_jvp
    def operation(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return function(x, kernel)

    def tangent(operands: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
        x, kernel = operands
        terms = (
            lambda t: linear(lambda kernel, t: operation(t, kernel), along_first, kernel, t),
            lambda t: linear(operation, along_second, x, t),
        )
        return operation(x, kernel), total(terms, tangents)

    operation.defjvp(tangent, symbolic_zeros=True)
    return operation
