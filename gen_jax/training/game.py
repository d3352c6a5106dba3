"""Every method is a game: players own networks and have losses, turns say who moves and how often.

A likelihood model (a VAE, a flow, a diffusion model) is a game of one player, a GAN one of two, a VAE-GAN one of
three. The game is all that the train step, the loop, the checkpoints and the samplers know of a method.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import optax

from gen_jax.data.transforms import Restored, Transform
from gen_jax.errors import ConfigError
from gen_jax.training.abilities import (
    ONE_PASS,
    Array,
    Batch,
    Codec,
    Density,
    Given,
    Observed,
    Params,
    PyTree,
    Reported,
    Sampling,
    Variables,
    View,
)

__all__ = [
    "ONE_PASS",
    "Array",
    "Aux",
    "Batch",
    "Codec",
    "Density",
    "Game",
    "Given",
    "LossFn",
    "Now",
    "Observed",
    "Params",
    "Player",
    "PyTree",
    "Reported",
    "Sampling",
    "Transform",
    "Turn",
    "Variables",
    "View",
]


class Aux(NamedTuple):
    """What a loss returns beside its value.

    Attributes:
      metrics: what to log, by name; arrays of shape (batch,), averaged by the train step, or scalars.
      variables: new values of non-trained variables, {net: {collection: arrays}}. Those of nets that the player does
        not own are dropped: only the owner's loss may change a network's statistics.
      outputs: anything that the turn's `carry_update` wants to see, such as the fakes for an image pool.
    """

    metrics: Mapping[str, Array] = {}
    variables: Mapping[str, Mapping[str, PyTree]] = {}
    outputs: Any = None


class Now(NamedTuple):
    """When a loss is computed.

    Attributes:
      carry: the small state that the game holds from turn to turn, or None.
      step: int32 scalar, the number of completed steps: what schedules (of beta, of a temperature) are functions of.
    """

    carry: Any
    step: Array


LossFn = Callable[[Params, Variables, Batch, Array, Now], tuple[Array, Aux]]
"""(params, variables, batch, key, now) -> (loss of each example (batch,), Aux).

Every player that moves in the same turn is called with the same batch and the same key, so that players who draw the
same latents see the same samples.
"""


def unchanged(params: PyTree) -> PyTree:
    """The projection of a player whose parameters are free."""
    return params


@dataclasses.dataclass(frozen=True)
class Player:
    """Someone who owns networks and moves them downhill on a loss.

    Attributes:
      nets: names of the networks it owns: its loss is differentiated in their parameters and no others.
      loss: see `LossFn`.
      optimizer: moves the owned parameters; or the name of another player of the same nets, whose optimizer and whose
        moments it then shares (a regulariser that is computed lazily but is part of the same objective).
      project: maps {net: owned parameters} back to where they are allowed, after each update (weight clipping).
    """

    nets: tuple[str, ...]
    loss: LossFn
    optimizer: optax.GradientTransformation | str
    project: Callable[[PyTree], PyTree] = unchanged


def keep_carry(carry: Any, metrics: Mapping[str, Array], outputs: Mapping[str, Any], key: Array) -> Any:
    """The carry of a game that has none, or of a turn that leaves it alone."""
    return carry


@dataclasses.dataclass(frozen=True)
class Turn:
    """Who moves at once, and how often.

    Attributes:
      players: names of the players; they move together, all seeing the old parameters.
      repeat: how many times in a row (WGAN's n_critic). Parameters move in between.
      every: the turn is taken in steps whose number, counted from 1, is a multiple of this (lazy regularisers).
      begin: completed steps before which it is not taken (a later phase).
      end: completed steps from which on it is not taken any more; None: to the end.
      fresh: whether each repeat draws a batch of its own; False looks again at the batch that was drawn last.
      carry_update: (carry, metrics averaged over the batch, {player: Aux.outputs}, key) -> carry, after each repeat.
    """

    players: tuple[str, ...]
    repeat: int = 1
    every: int = 1
    fresh: bool = True
    carry_update: Callable[..., Any] = keep_carry
    begin: int = 0
    end: int | None = None

    @property
    def always(self) -> bool:
        """Whether every step takes it."""
        return self.every == 1 and self.begin == 0 and self.end is None

    def due(self, step: Any) -> Any:
        """Whether the step after `step` completed ones takes it; of a traced number, a traced bool."""
        is_due = (step + 1) % self.every == 0
        if self.begin > 0:
            is_due = is_due & (step >= self.begin)
        return is_due if self.end is None else is_due & (step < self.end)


@dataclasses.dataclass(frozen=True)
class Game:
    """A method: its networks, its players, its turns, and how it is sampled and judged.

    Attributes:
      init: (key, a transformed example batch of size 1 or more) -> {net: Flax variables, "params" among them}.
      players: by name.
      turns: taken one after another in each step, each seeing what the ones before it changed.
      transforms: by entry of the batch, how stored data become what the losses see, and samples become data. In a batch
        all are given the same key, so that a pair of images is mirrored together.
      sample: (params, variables, key, n, **given) -> n samples in the networks' range, n static; None: it makes none.
      makes: which entry of the data a sample is.
      given: what may be asked of a sample, by name.
      evaluate: (params, variables, batch, key) -> {name: (batch,)} on held-out data, or None.
      averages: {net: schedule of the decay}; an exponential average of the net's weights, which then samples and is
        evaluated in place of the weights: average <- decay(step) * average + (1 - decay(step)) * weights.
      carry: the first value of the small state that some methods hold from turn to turn (BEGAN's k, an image pool).
      density: how it gives probabilities to data, where it does.
      sampling: what a sample costs.
      views: pictures of what it does, by name: "interpolations", "reconstructions", "denoising", … Where it makes no
        samples the first takes the place of their grid.
      codec: how examples become codes and codes examples, where it has any.
      prepare: ({net: variables}, batch, key) -> {net: variables}, once, on the first batch of a fresh run: statistics
        that are measured rather than learned (ActNorm, the scale of a latent, a codebook).
      reports: what the numbers are that it logs, by name.
      streams: which further sets of examples it takes.
      given_nets: {net: variables} that a fresh run begins with in place of `init`'s, such as another run's. A net that
        no player owns stays as it is.
    """

    init: Callable[[Array, Batch], dict[str, dict[str, PyTree]]]
    players: Mapping[str, Player]
    turns: Sequence[Turn]
    transforms: Mapping[str, Transform]
    sample: Callable[..., Array] | None = None
    makes: str = "x"
    given: Mapping[str, Given] = dataclasses.field(default_factory=dict)
    evaluate: Callable[[Params, Variables, Batch, Array], dict[str, Array]] | None = None
    averages: Mapping[str, optax.Schedule] = dataclasses.field(default_factory=dict)
    carry: Any = None
    density: Density | None = None
    sampling: Sampling = ONE_PASS
    views: Mapping[str, View] = dataclasses.field(default_factory=dict)
    codec: Codec | None = None
    prepare: Callable[[dict[str, PyTree], Batch, Array], dict[str, PyTree]] | None = None
    reports: Mapping[str, Reported] = dataclasses.field(default_factory=dict)
    streams: tuple[str, ...] = ()
    given_nets: Mapping[str, PyTree] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for a game that cannot be played as written."""
        for name, player in self.players.items():
            if isinstance(player.optimizer, str):
                host = self.players.get(player.optimizer)
                if host is None or isinstance(host.optimizer, str) or host.nets != player.nets:
                    raise ValueError(
                        f"player {name!r} shares the optimizer of {player.optimizer!r}, which must be a player of the "
                        f"same nets {player.nets} with an optimizer of its own"
                    )
        if not self.turns:
            raise ValueError("a game needs at least one turn")
        if not self.turns[0].fresh:
            raise ValueError("the first turn must draw a fresh batch: there is no earlier one to look at")
        for turn in self.turns:
            unknown = [name for name in turn.players if name not in self.players]
            if unknown:
                raise ValueError(f"a turn names {unknown}, but the players are {list(self.players)}")
            if turn.repeat < 1 or turn.every < 1:
                raise ValueError(f"repeat and every count from 1: {turn}")
            if turn.begin < 0 or (turn.end is not None and turn.end <= turn.begin):
                raise ValueError(f"a turn begins at step 0 or later, and ends after it begins: {turn}")
            nets = [net for name in turn.players for net in self.players[name].nets]
            if len(set(nets)) != len(nets):
                raise ValueError(f"players of one turn move together, so no two may own the same net: {nets}")
        idle = set(self.players) - {name for turn in self.turns for name in turn.players}
        if idle:
            raise ValueError(f"these players never move: {sorted(idle)}")

    @property
    def draws(self) -> int:
        """Fresh batches that one step draws, lazy turns included."""
        return sum(turn.repeat for turn in self.turns if turn.fresh)

    def first_draw(self, index: int) -> int:
        """Number, within a step, of the first batch that turn `index` sees."""
        before = sum(turn.repeat for turn in self.turns[:index] if turn.fresh)
        return before if self.turns[index].fresh else before - 1

    def optimizer(self, player: str) -> tuple[str, optax.GradientTransformation]:
        """The optimizer of a player, and the name of the player under which its state is kept."""
        optimizer = self.players[player].optimizer
        if isinstance(optimizer, str):
            return self.optimizer(optimizer)
        return player, optimizer

    def due(self, step: int) -> tuple[bool, ...]:
        """Which turns the step that follows `step` completed ones takes."""
        return tuple(bool(turn.due(step)) for turn in self.turns)

    def transformed(self, batch: Batch, key: Array, *, train: bool) -> dict[str, Array]:
        """A batch as stored, as the losses see it: with augmentation while training.

        Args:
          batch: some or all entries.
          key: of all transforms.
          train: whether it is learned from, rather than held out.
        """
        seen = {
            name: (transform.train if train else transform.evaluate)(batch[name], key)
            for name, transform in self.transforms.items()
            if name in batch
        }
        return {**batch, **seen}

    @property
    def abilities(self) -> tuple[str, ...]:
        """What can be done with a trained state, by the names of the methods of a run."""
        codec = self.codec
        found = {
            "sample": self.sample is not None,
            "encode": codec is not None and codec.encode is not None,
            "decode": codec is not None,
            "reconstruct": codec is not None and codec.encode is not None,
            "interpolate": codec is not None,
            "log_prob": self.density is not None and self.density.log_weights is not None,
        }
        return tuple(name for name, able in found.items() if able)

    def require(self, ability: str) -> None:
        """Raises ConfigError unless it can do that; says what it can."""
        if ability not in self.abilities:
            others = ", ".join(self.abilities) or "be evaluated"
            raise ConfigError(f"this method cannot {ability.replace('_', ' ')}; it can: {others}")

    def restored(self, x: Restored, name: str | None = None) -> Restored:
        """What a network made, as data are stored; of the entry that samples are, or of another."""
        name = name or self.makes
        return self.transforms[name].restore(x) if name in self.transforms else x
