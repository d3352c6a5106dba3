"""The engine: the game, its state, its step, its loop. Knows no method."""

from gen_jax.training.fingerprint import digest
from gen_jax.training.game import Aux, Game, Player, Turn
from gen_jax.training.program import Program
from gen_jax.training.state import State, init_state

__all__ = ["Aux", "Game", "Player", "Program", "State", "Turn", "digest", "init_state"]
