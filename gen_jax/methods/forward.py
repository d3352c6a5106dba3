"""Calling a network with what the engine keeps of it."""

import inspect
from typing import Any

import flax.linen as nn
import jax

from gen_jax.training.game import Params, Variables


def mode(module: nn.Module, train: bool) -> dict[str, Any]:
    """The argument that tells a network whether it is being trained, if it behaves differently then."""
    return {"train": train} if "train" in inspect.signature(module.__call__).parameters else {}


def forward(
    net: str,
    module: nn.Module,
    params: Params,
    variables: Variables,
    *inputs: jax.Array,
    train: bool,
    key: jax.Array | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Applies a network.

    Args:
      net: its name in the game.
      module: its architecture.
      params: of all nets.
      variables: of all nets.
      *inputs: its arguments.
      train: whether batch statistics are those of the batch and dropout is on, for networks that have either.
      key: for dropout.

    Returns:
      Its output, and its variables as they are after the call.
    """
    output, updated = module.apply(
        {"params": params[net], **variables[net]},
        *inputs,
        **mode(module, train),
        rngs=None if key is None else {"dropout": key},
        mutable=list(variables[net]) if train else [],
    )
    return output, {**variables[net], **updated}


def init(module: nn.Module, key: jax.Array, *inputs: jax.Array) -> dict[str, Any]:
    """A network's first variables, "params" among them."""
    return dict(module.init(key, *inputs, **mode(module, False)))
