"""How a state of a run is examined, during training and after it."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from gen_jax.config import Config
from gen_jax.data import Dataset, evaluation_batches
from gen_jax.data.info import DataInfo
from gen_jax.metrics import SampleMetric
from gen_jax.run.setup import example
from gen_jax.training import keys
from gen_jax.training.evaluation import Evaluator
from gen_jax.training.game import Batch, Game
from gen_jax.training.reduction import SHARDS, VirtualShards, whole_batch
from gen_jax.training.sampling import Sampler
from gen_jax.training.state import State


class Examiner:
    """Evaluates states of a run: likelihoods on held-out data, and what is measured on samples."""

    def __init__(self, game: Game, dataset: Dataset, mesh: Mesh, config: Config, metrics: Sequence[SampleMetric]):
        # A run may be examined on more devices than it was trained on.
        multiple = math.lcm(SHARDS, mesh.size)
        self.batch_size = math.ceil(config.batch_size / multiple) * multiple
        held_out = functools.partial(evaluation_batches, dataset.test_streams, self.batch_size)
        on_cpu = mesh.devices.flat[0].platform == "cpu"
        sharded = config.reproducible and SHARDS % mesh.size == 0
        reduce = VirtualShards(mesh, unroll=on_cpu) if sharded else whole_batch
        self.evaluator = Evaluator(game, held_out, mesh, config.seed, reduce)
        self.sampler = Sampler(game, mesh, alone=config.reproducible)
        self.metrics = metrics
        self.root = jax.random.key(config.seed)

    def names(self, state: State, info: DataInfo) -> list[str]:
        """The names of all metrics of states of such shapes, sorted; nothing is computed."""

        def evaluate(state: State, batch: Batch, key: jax.Array) -> Any:
            assert self.evaluator.game.evaluate is not None
            return self.evaluator.game.evaluate(state.sampling_params, state.variables, batch, key)

        found = [name for metric in self.metrics for name in metric.names]
        if self.evaluator.game.evaluate is not None:
            found += jax.eval_shape(evaluate, state, example(info), self.root)
        return sorted(found)

    def __call__(self, state: State) -> dict[str, float]:
        """All metrics by name. The same latents each time, those of `Run.sample` with the run's seed."""
        found = self.evaluator(state)
        for metric in self.metrics:
            found.update(metric(self.sampler(state, keys.derive(self.root, "sample"), metric.samples)))
        return found
