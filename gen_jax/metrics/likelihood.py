"""How probable a model finds held-out data: log p(x) by importance sampling, and bits per dimension."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax.data.batches import place
from gen_jax.errors import ConfigError
from gen_jax.losses import WeightSum
from gen_jax.training import keys
from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.evaluation import HeldOut
from gen_jax.training.game import Array, Batch, Game, Observed
from gen_jax.training.reduction import Reduction, whole_batch
from gen_jax.training.sharding import replicated, split_batch
from gen_jax.training.state import State

# Numbers that a decoder gives at once: 16 MiB, and a few times as much inside it.
AT_ONCE = 2**22


class LogLikelihood(NamedTuple):
    """The mean of log p(x) over held-out data.

    Attributes:
      mean: nats of one example.
      interval: 95%, of the mean over other examples from where these come; None of a single one.
      examples: how many.
      draws: importance samples of each; 1 where the model gives the probability itself.
    """

    mean: float
    interval: tuple[float, float] | None
    examples: int
    draws: int


class ImportanceSampler:
    """Estimates log p(x) of held-out data from below, by many draws for each example in bounded memory.

    The bound L_k of Burda et al., arXiv 1509.00519, eq. 8; in expectation it grows with k, and never exceeds log p(x).
    What is random in showing the data (binarisation, dequantisation) is drawn once for each example, and the same for
    every state and as the `Evaluator` of the same seed draws it.
    """

    def __init__(
        self,
        game: Game,
        held_out: HeldOut,
        mesh: Mesh,
        seed: int,
        draws: int,
        reduce: Reduction = whole_batch,
        at_once: int = AT_ONCE,
    ):
        """Nothing is compiled yet.

        Args:
          game: the method.
          held_out: gives the batches.
          mesh: devices, over which each batch is split.
          seed: of all that is random.
          draws: importance samples of each example (k). A model that gives probabilities themselves takes one.
          reduce: that of the training.
          at_once: examples are decoded so many that their numbers are at most this, but at least once each.

        Raises:
          ConfigError: the game gives no probabilities, or only a bound, or there are no draws.
        """
        if game.density is None:
            raise ConfigError("log p(x) is not defined for this model, which gives no probabilities to data")
        if game.density.log_weights is None:
            raise ConfigError("log p(x) of this model is only known to be at least its elbo, which can be evaluated")
        if draws < 1:
            raise ConfigError(f"the importance samples of each example are {draws}; accepted: a number of at least 1")
        self.game, self.held_out, self.mesh, self.reduce = game, held_out, mesh, reduce
        self.draws, self.at_once = 1 if game.density.exact else draws, at_once
        self.root = jax.random.key(seed)
        self._log_likelihoods = CompiledTogether(jax.jit(self._of_batch, out_shardings=replicated(mesh)), mesh)

    def __call__(self, state: State, progress: Callable[[int], None] = lambda done: None) -> LogLikelihood:
        """The mean over the held-out data under the weights that the game evaluates.

        Args:
          state: with those weights.
          progress: is told how many examples are done.
        """
        return summary(self.each(state, progress), self.draws)

    def each(self, state: State, progress: Callable[[int], None] = lambda done: None) -> np.ndarray:
        """log p(x) of each example, nats (examples,), in order."""
        found: list[np.ndarray] = []
        for number, batch in enumerate(self.held_out()):
            rows = {name: place(array, split_batch(self.mesh)) for name, array in batch.items() if name != "mask"}
            values = self._log_likelihoods(state.sampling_params, state.variables, rows, np.int32(number), self.root)
            found.append(np.asarray(jax.device_get(values), np.float64)[batch["mask"]])
            progress(sum(map(len, found)))
        return np.concatenate(found)

    def _of_batch(self, params: Any, variables: Any, batch: dict[str, Array], number: Array, root: Array) -> Array:
        def part(shared: Any, batch: Batch, key: Array) -> tuple[None, Array]:
            batch = self.game.transformed(batch, keys.derive(key, "transform"), train=False)
            params, variables = shared
            return None, self._log_mean(params, variables, batch, keys.derive(key, "importance"))

        return self.reduce(part, (params, variables), batch, keys.derive(root, "evaluate", number))[1]

    def _log_mean(self, params: Any, variables: Any, batch: Batch, key: Array) -> Array:
        density = self.game.density
        assert density is not None
        assert density.log_weights is not None
        log_weights, x = density.log_weights, batch["x"]
        chunks = math.ceil(self.draws / max(1, self.at_once // x.size))
        chunk = math.ceil(self.draws / chunks)

        def add(number: Array, total: WeightSum) -> WeightSum:
            drawn = log_weights(params, variables, batch, keys.derive(key, number), chunk)
            is_wanted = number * chunk + jnp.arange(chunk) < self.draws
            return total.add(jnp.where(is_wanted[:, None], drawn, -jnp.inf))

        return jax.lax.fori_loop(0, chunks, add, WeightSum.empty(len(x))).log_mean(self.draws)


def summary(values: np.ndarray, draws: int) -> LogLikelihood:
    """The mean of one value per example, and its interval from their spread.

    Args:
      values: (examples,), nats.
      draws: importance samples behind each.
    """
    mean = float(np.mean(values, dtype=np.float64))
    if len(values) == 1:
        return LogLikelihood(mean, None, 1, draws)
    half = 1.96 * float(np.std(values, ddof=1, dtype=np.float64)) / math.sqrt(len(values))
    return LogLikelihood(mean, (mean - half, mean + half), len(values), draws)


def bits_per_dim(nats: float, shape: Sequence[int], observed: Observed) -> float:
    """Bits that it takes to tell a pixel's level, of 256, if coded by the model.

    -nats / (D ln 2), with D values an image; 8 more where x was scaled from [0, 256) to [0, 1), which multiplied each
    density by 256. With the noise between the levels that is an upper bound (Theis et al., arXiv 1511.01844, section
    3.1).

    Args:
      nats: log p(x) of one example, or a lower bound, and then the bits are an upper bound.
      shape: of one example.
      observed: what x was when it was scored.

    Raises:
      ConfigError: the model does not score 256 levels.
    """
    if observed not in ("256 levels", "dequantised"):
        raise ConfigError(
            f"bits_per_dim is not defined for {observed}: accepted are models of 256 levels or of dequantised pixels"
        )
    bits = -nats / (math.prod(shape) * math.log(2))
    return bits + 8 if observed == "dequantised" else bits
