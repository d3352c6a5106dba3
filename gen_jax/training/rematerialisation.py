"""Memory for time: activations are computed again in the backward pass instead of being kept for it."""

import dataclasses

import jax

from gen_jax.training.game import Game

BLOCK = "block"
"""The name under which models mark what is worth keeping, with `jax.ad_checkpoint.checkpoint_name`."""


def rematerialised(game: Game) -> Game:
    """The same game, whose losses keep the outputs of blocks alone for their gradients.

    What is between two blocks is computed again, with the same keys, when the gradient of the second one is taken: the
    numbers are those of the game up to rounding. Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv
    1604.06174. XLA's CPU backend orders operations as it likes, so there it takes the time and saves little.
    """
    policy = jax.checkpoint_policies.save_only_these_names(BLOCK)
    players = {
        name: dataclasses.replace(player, loss=jax.checkpoint(player.loss, policy=policy))
        for name, player in game.players.items()
    }
    return dataclasses.replace(game, players=players)
