"""Memory for time: activations are computed again in the backward pass instead of being kept for it."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, KeysView, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun

from gen_jax.training.game import Game

BLOCK = "block"
"""The name under which models mark what is worth keeping, with `jax.ad_checkpoint.checkpoint_name`."""


def rematerialised(game: Game) -> Game:
    """The same game, whose losses keep the outputs of blocks alone for their gradients.

    What is between two blocks is computed again, with the same keys, when the gradient of the second one is taken: the
    numbers are those of the game up to rounding. Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv
    1604.06174. XLA's CPU backend does not wait, so there it takes the time and saves nothing.
    """
    # Around all blocks once more, for what one hands to another beside its output: where the loss has a slope in it,
    # what the blocks would keep for that.
    policy = jax.checkpoint_policies.save_only_these_names(BLOCK)
    players = {
        name: dataclasses.replace(player, loss=jax.checkpoint(block_by_block(player.loss), policy=policy))
        for name, player in game.players.items()
    }
    return dataclasses.replace(game, players=players)


def block_by_block(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, each block of which waits for its gradient before it is computed again.

    With one `jax.checkpoint` around all blocks nothing holds a compiler back from computing all of them again at once.
    """

    @functools.wraps(function)
    def in_blocks(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        jaxpr = closed.jaxpr
        values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
        values |= zip(jaxpr.invars, jax.tree.leaves(arguments), strict=True)
        blocks = split_at_blocks(jaxpr.eqns)
        for number, block in enumerate(blocks):
            made = variables(out for equation in block for out in equation.outvars)
            read = variables(given for equation in block for given in equation.invars) - made
            wanted = variables(
                given for later in blocks[number + 1 :] for equation in later for given in equation.invars
            )
            given = [variable for variable in values if variable in read]
            kept = [variable for variable in made if variable in wanted or variable in jaxpr.outvars]
            part = jaxpr.replace(constvars=[], invars=given, outvars=kept, eqns=block)
            compute = jax.checkpoint(jaxpr_as_fun(ClosedJaxpr(part, [])))
            values |= zip(kept, compute(*map(values.get, given)), strict=True)
        results = [out.val if isinstance(out, Literal) else values[out] for out in jaxpr.outvars]
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return in_blocks


def split_at_blocks(equations: Sequence[JaxprEqn]) -> list[list[JaxprEqn]]:
    """The equations in parts, each of which ends with what a block is named for."""
    parts: list[list[JaxprEqn]] = [[]]
    for equation in equations:
        parts[-1].append(equation)
        if equation.primitive.name == "name" and equation.params["name"] == BLOCK:
            parts.append([])
    return parts


def variables(atoms: Iterable[Any]) -> KeysView[Var]:
    """Those of the atoms that are no constants, each once and in order."""
    return dict.fromkeys(atom for atom in atoms if not isinstance(atom, Literal)).keys()
