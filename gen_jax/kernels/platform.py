"""One function in two forms: one for CPUs, one for all other platforms."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from gen_jax.kernels.linear import linear, total


def per_platform(cpu: Callable[..., Any], default: Callable[..., Any]) -> Callable[..., Any]:
    """`default`, computed on a CPU by `cpu`, and so are its derivatives.

    The choice falls when a program is lowered for a platform, not from the backend of the process, so that one that is
    compiled here for another device gets that device's form.

    Args:
      cpu: of arrays; the same function as `default`, but for rounding.
      default: of arrays.

    Returns:
      What can be differentiated as often as both can, in both modes. Reverse mode keeps the arguments alone.
    """

    @jax.custom_jvp
    def chosen(*args: Any) -> Any:
        return jax.lax.platform_dependent(*args, cpu=cpu, default=default)

    def tangent(args: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        # Each argument by itself: where a derivative is taken again, nothing is computed for those that stay.
        terms = [functools.partial(along, number, args) for number in range(len(args))]
        return chosen(*args), total(terms, tangents)

    def along(number: int, args: tuple[Any, ...], tangent: Any) -> Any:
        pushed = per_platform(pushed_forward(cpu, number), pushed_forward(default, number))
        pulled = per_platform(pulled_back(cpu, number), pulled_back(default, number))
        return linear(lambda args, t: pushed(*args, t), lambda args, y: pulled(*args, y), args, tangent)

    chosen.defjvp(tangent, symbolic_zeros=True)
    return chosen


def pushed_forward(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """(*arguments, tangent of an argument) -> the tangent of the value."""

    def push(*args_and_tangent: Any) -> Any:
        *args, tangent = args_and_tangent

        def of_one(arg: Any) -> Any:
            return function(*args[:number], arg, *args[number + 1 :])

        return jax.jvp(of_one, args[number : number + 1], [tangent])[1]

    return push


def pulled_back(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """(*arguments, cotangent) -> the cotangent of an argument."""

    def pull(*args_and_cotangent: Any) -> Any:
        *args, cotangent = args_and_cotangent
        return jax.vjp(function, *args)[1](cotangent)[number]

    return pull
