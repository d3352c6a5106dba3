"""Everything that training changes, in one pytree."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from gen_jax.training import keys
from gen_jax.training.game import Batch, Game, PyTree


@flax.struct.dataclass
class State:
    """The state of a game.

    Fields take any tree, because JAX and Orbax also build states of shapes, of shardings or of options for saving,
    where even an empty dict may be one of those.

    Attributes:
      step: int32 scalar, the number of completed steps. The position in the data and every random key follow from it.
      params: {net: parameters}.
      variables: {net: {collection: arrays}}: what is neither trained nor constant.
      opt_state: {player: the state of its optimizer over {net: parameters} of its own nets}.
      averages: {net: averaged parameters} for the nets that the game averages.
      carry: the game's own small state, or None.
    """

    step: Any
    params: PyTree
    variables: PyTree
    opt_state: PyTree
    averages: PyTree
    carry: PyTree

    @property
    def sampling_params(self) -> dict[str, PyTree]:
        """The parameters that sample and are evaluated: the averages where the game keeps them."""
        return {**self.params, **self.averages}


def strongly_typed(tree: PyTree) -> PyTree:
    """The same arrays, none of a weak type.

    An array made from a Python number yields to the dtypes that it meets, but once saved and restored it does not: a
    run that continues would promote, and therefore round, otherwise than the unbroken one.
    """
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), tree)


def init_state(
    game: Game, key: jax.Array, example: Batch, given_nets: Mapping[str, PyTree] = {}, first: Batch | None = None
) -> State:
    """The state before the first step.

    Args:
      game: the method.
      key: root key of the run.
      example: a transformed batch; only shapes and dtypes should matter to the initialisers.
      given_nets: those of the game, as an argument because what a jitted function closes over becomes a constant.
      first: the first batch of the run as it is stored, which `game.prepare` looks at; None: it is not called.

    Raises:
      ValueError: a player owns, or the game averages, a net that `game.init` does not make; a net that is given has
        other leaves than that of `init`.
    """
    nets = game.init(keys.derive(key, "init"), example)
    for net, given in given_nets.items():
        wanted, found = (jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (nets.get(net), given))
        if wanted != found:
            raise ValueError(f"the net {net!r} that is given has leaves {found}, but init makes {wanted}")
    nets = {**nets, **given_nets}
    if game.prepare is not None and first is not None:
        seen = game.transformed(first, keys.derive(key, "transform", 0, 0), train=True)
        nets = game.prepare(nets, seen, keys.derive(key, "prepare"))
    named = {net for player in game.players.values() for net in player.nets} | set(game.averages)
    if not named <= set(nets):
        raise ValueError(f"nets {sorted(named - set(nets))} are named by the game, but its init makes {sorted(nets)}")
    params = {net: variables.get("params", {}) for net, variables in nets.items()}
    variables = {net: {c: v for c, v in tree.items() if c != "params"} for net, tree in nets.items()}
    opt_state = {}
    for name, player in game.players.items():
        host, optimizer = game.optimizer(name)
        if host == name:
            opt_state[name] = optimizer.init({net: params[net] for net in player.nets})
    state = State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        variables=variables,
        opt_state=opt_state,
        # Copies, because the step donates its input and one buffer cannot be given away twice.
        averages=jax.tree.map(jnp.copy, {net: params[net] for net in game.averages}),
        carry=jax.tree.map(jnp.array, game.carry),
    )
    return strongly_typed(state)


def leaves_by_name(tree: PyTree) -> dict[str, Any]:
    """{"params/critic/Dense_0/kernel": array, ...}: every leaf under a name that a person can read."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}
