"""Every method is a game: players own networks and have losses, turns say who moves and how often.

A likelihood model (a VAE, a flow, a diffusion model) is a game of one player, a GAN one of two, a VAE-GAN one of
three. The game is all that the train step, the loop, the checkpoints and the samplers know of a method.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import optax

from gen_jax.data.transforms import Transform
from gen_jax.errors import ConfigError

Array = jax.Array
PyTree = Any
Params = Mapping[str, PyTree]  # {net: its trainable parameters}
Variables = Mapping[str, Mapping[str, PyTree]]  # {net: {collection: arrays}}, such as BatchNorm's running statistics
Batch = Mapping[str, Array]  # "x" (batch, ...), "index" (batch,), and "label" (batch,) where the data has labels


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


LossFn = Callable[[Params, Variables, Batch, Array, Any], tuple[Array, Aux]]
"""(params, variables, batch, key, carry) -> (loss of each example (batch,), Aux).

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
      fresh: whether each repeat draws a batch of its own; False looks again at the batch that was drawn last.
      carry_update: (carry, metrics averaged over the batch, {player: Aux.outputs}, key) -> carry, after each repeat.
    """

    players: tuple[str, ...]
    repeat: int = 1
    every: int = 1
    fresh: bool = True
    carry_update: Callable[..., Any] = keep_carry


Observed = Literal["binary pixels", "256 levels", "dequantised", "real numbers"]
"""What x is when it is scored.

"binary pixels" and "256 levels" have probabilities. "dequantised" pixels, which are levels with uniform noise scaled to
[0, 1), and "real numbers" have densities.
"""


class Density(NamedTuple):
    """How a game gives probabilities to data.

    Attributes:
      observed: what x is when it is scored.
      log_weights: (params, variables, batch, key, k) -> (k, batch), logarithms of k unbiased estimates of p(x), whose
        mean, not that of the logarithms, approaches p(x); None where there is only the bound that `evaluate` reports.
      exact: whether each of them is p(x) itself.
    """

    observed: Observed
    log_weights: Callable[[Params, Variables, Batch, Array, int], Array] | None = None
    exact: bool = False


class Sampling(NamedTuple):
    """What a sample costs.

    Attributes:
      sampler: its name, such as "ancestral"; "one pass" for a network that is called once.
      steps: how often a network is called for one sample.
    """

    sampler: str = "one pass"
    steps: int = 1


ONE_PASS = Sampling()


def no_samples(params: Params, variables: Variables, key: Array, n: int) -> Array:
    """The samples of a game that makes none, such as a classifier's: raises ConfigError."""
    raise ConfigError("the method has no samples")


View = Callable[[Params, Variables, Batch, Array], Array]
"""A picture of what a method does: (params, variables, batch, key) -> (rows, columns, *shape) in the networks' range.

The batch is transformed, from the held-out data, and has at least as many examples as rows; a view that shows no data
looks at no more than its shape.
"""


@dataclasses.dataclass(frozen=True)
class Game:
    """A method: its networks, its players, its turns, and how it is sampled and judged.

    Attributes:
      init: (key, a transformed example batch of size 1 or more) -> {net: Flax variables, "params" among them}.
      players: by name.
      turns: taken one after another in each step, each seeing what the ones before it changed.
      transform: how stored data become the batch["x"] of the losses, and samples become images.
      sample: (params, variables, key, n, **condition) -> n samples in the networks' range; n is static.
      evaluate: (params, variables, batch, key) -> {name: (batch,)} on held-out data, or None.
      averages: {net: schedule of the decay}; an exponential average of the net's weights, which then samples and is
        evaluated in place of the weights: average <- decay(step) * average + (1 - decay(step)) * weights.
      carry: the first value of the small state that some methods hold from turn to turn (BEGAN's k, an image pool).
      density: how it gives probabilities to data, where it does.
      sampling: what a sample costs.
      views: pictures of what it does, by name: "interpolations", "reconstructions", "denoising", …
    """

    init: Callable[[Array, Batch], dict[str, dict[str, PyTree]]]
    players: Mapping[str, Player]
    turns: Sequence[Turn]
    transform: Transform
    sample: Callable[..., Array] = no_samples
    evaluate: Callable[[Params, Variables, Batch, Array], dict[str, Array]] | None = None
    averages: Mapping[str, optax.Schedule] = dataclasses.field(default_factory=dict)
    carry: Any = None
    density: Density | None = None
    sampling: Sampling = ONE_PASS
    views: Mapping[str, View] = dataclasses.field(default_factory=dict)

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
        return tuple((step + 1) % turn.every == 0 for turn in self.turns)
