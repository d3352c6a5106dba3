"""Jitted functions that stay calls in the program, where XLA would inline them."""

from typing import Any

from jax.experimental.xla_metadata import set_xla_metadata


def as_a_call() -> Any:
    """A context in which XLA does not inline a jitted function.

    XLA compiles it once for all calls that have the same shapes, and fuses none of it into the operations after it.
    """
    return set_xla_metadata(inlineable="false")
