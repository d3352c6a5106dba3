"""Beginning with the networks of another run: `--init-from RUN`."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.errors import ConfigError
from gen_jax.training.pretrained import Pretrained
from gen_jax.training.state import State


def shapes_of(tree: Any) -> Any:
    """What has to be equal for one net to take the place of another."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, jnp.dtype(leaf.dtype)) for leaf in leaves]


def nets_in_common(state: State, source: Pretrained) -> list[str]:
    """The nets of a state, or of its shapes, that the other run has with the same name and shape.

    Raises:
      ConfigError: there are none; names those that each has.
    """
    found = [
        net
        for net in state.params
        if net in source.params
        and shapes_of(state.params[net]) == shapes_of(source.params[net])
        and shapes_of(dict(state.variables[net])) == shapes_of(dict(source.variables[net]))
    ]
    if not found:
        raise ConfigError(
            f"--init-from is {source.name}, which has {', '.join(sorted(source.params))}; this run has "
            f"{', '.join(sorted(state.params))}, and none of the same name and shape"
        )
    return found


def began_with(state: State, source: Pretrained) -> str:
    """A line: which nets a run begins with, and which it leaves. Raises ConfigError where none fits."""
    taken = nets_in_common(state, source)
    left = sorted(set(state.params) - set(taken))
    new = f"; {', '.join(left)} of its own" if left else ""
    return f"begins   with {', '.join(taken)} of {source.name}, step {source.step}{new}"


def warm_started(state: State, source: Pretrained) -> State:
    """The state before the first step, with the other run's nets where they fit. Moments of the optimizers stay new."""
    nets = nets_in_common(state, source)

    def placed(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda leaf, like: jax.device_put(leaf, like.sharding), new, old)

    params = {net: placed(source.params[net], tree) if net in nets else tree for net, tree in state.params.items()}
    variables = {
        net: placed(dict(source.variables[net]), dict(tree)) if net in nets else tree
        for net, tree in state.variables.items()
    }
    # Copies: what is donated cannot be given away twice.
    averages = {
        net: jax.tree.map(jnp.copy, params[net]) if net in nets else tree for net, tree in state.averages.items()
    }
    return dataclasses.replace(
        state, params=jax.tree.map(jnp.copy, params), variables=jax.tree.map(jnp.copy, variables), averages=averages
    )
