"""Jitted functions that stay calls in the program, where XLA would inline them."""

from typing import Any

from jax.experimental.xla_metadata import set_xla_metadata


def as_a_call() -> Any:
    """A context in which a jitted function is called as it is.

    XLA compiles it once for all calls that have the same shapes, and fuses nothing of it into what uses its result.
    """
    return set_xla_metadata(inlineable="false")
