"""Calling networks with what the engine keeps of them."""

import inspect
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from gen_jax.training import keys
from gen_jax.training.game import Aux, Params, Variables


class Nets:
    """The networks of a game during one call of a loss, a sampler or an evaluation.

    Each is called by its name: `logits = nets("discriminator", x)`. What becomes of batch statistics is kept, and is
    what `aux` hands back to the train step.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        params: Params,
        variables: Variables,
        key: jax.Array | None = None,
        *,
        train: bool = False,
    ):
        """Nothing is called yet.

        Args:
          modules: the architecture of each net.
          params: of all nets.
          variables: of all nets.
          key: for dropout.
          train: whether batch statistics are those of the batch and dropout is on, for networks that have either.
        """
        self.modules, self.params, self.key, self.train = modules, params, key, train
        self.variables: dict[str, Any] = dict(variables)
        self._calls: dict[str, int] = {}

    def __call__(self, net: str, *inputs: Any, key: jax.Array | None = None) -> Any:
        """The output of a network.

        Args:
          net: its name in the game.
          *inputs: its arguments.
          key: for dropout; None: one of its own, derived from the name and how often the net was called before.
        """
        calls = self._calls[net] = self._calls.get(net, 0) + 1
        if key is None and self.key is not None:
            key = keys.derive(self.key, net) if calls == 1 else keys.derive(self.key, net, calls)
        module, variables = self.modules[net], self.variables[net]
        output, updated = module.apply(
            {"params": self.params[net], **variables},
            *inputs,
            **mode(module, self.train),
            rngs=None if key is None else {"dropout": key},
            mutable=list(variables) if self.train else [],
        )
        self.variables[net] = {**variables, **updated}
        return output

    def aux(self, metrics: Mapping[str, jax.Array] = {}, outputs: Any = None) -> Aux:
        """What a loss returns beside its value: metrics, and the statistics of all nets as they are now."""
        return Aux(metrics, {net: self.variables[net] for net in self.modules}, outputs)


def mode(module: nn.Module, train: bool) -> dict[str, Any]:
    """The argument that tells a network whether it is being trained, if it behaves differently then."""
    return {"train": train} if "train" in inspect.signature(module.__call__).parameters else {}


def init(module: nn.Module, key: jax.Array, *inputs: Any) -> dict[str, Any]:
    """A network's first variables, "params" among them."""
    return dict(module.init(key, *inputs, **mode(module, False)))
