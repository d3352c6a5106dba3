"""One function in two forms: one for CPUs, one for all other platforms."""

from collections.abc import Callable
from typing import Any

import jax


def per_platform(cpu: Callable[..., Any], default: Callable[..., Any]) -> Callable[..., Any]:
    """`default`, computed on a CPU by `cpu`, and so are its derivatives.

    The choice falls when a program is lowered for a platform, not from the backend of the process, so that one that is
    compiled here for another device gets that device's form.

    Args:
      cpu: of arrays; the same function as `default`, but for rounding.
      default: of arrays.

    Returns:
      What can be differentiated in reverse mode as often as both can; not in forward mode, as any `jax.custom_vjp`.
    """

    @jax.custom_vjp
    def chosen(*args: Any) -> Any:
        return jax.lax.platform_dependent(*args, cpu=cpu, default=default)

    def forward(*args: Any) -> tuple[Any, tuple[Any, ...]]:
        return chosen(*args), args

    def backward(args: tuple[Any, ...], cotangent: Any) -> tuple[Any, ...]:
        # Each gradient by itself: where one is differentiated again, nothing is computed for those that are not.
        return tuple(
            per_platform(pulled_back(cpu, number), pulled_back(default, number))(*args, cotangent)
            for number in range(len(args))
        )

    chosen.defvjp(forward, backward)
    return chosen


def pulled_back(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """(*arguments, cotangent) -> the cotangent of an argument."""

    def pull(*args_and_cotangent: Any) -> Any:
        *args, cotangent = args_and_cotangent
        return jax.vjp(function, *args)[1](cotangent)[number]

    return pull
