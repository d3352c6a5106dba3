"""A trained run, and how a state is examined during and after training."""

import copy
import dataclasses
import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh

from gen_jax.compilation_cache import keep_compiled_programs
from gen_jax.config import Config, as_json, flag, free_fields, from_json
from gen_jax.data import Dataset, evaluation_batches, load_dataset
from gen_jax.data.info import DataInfo
from gen_jax.data.load import FOLDER
from gen_jax.devices import mesh_for_features
from gen_jax.errors import ConfigError
from gen_jax.experiment import find
from gen_jax.metrics import SampleMetric
from gen_jax.run_directory import RunDirectory
from gen_jax.training import keys
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.distributed import split_the_cpu
from gen_jax.training.evaluation import Evaluator
from gen_jax.training.fingerprint import digest
from gen_jax.training.game import Batch, Game
from gen_jax.training.grid import image_grid, scatter_plot
from gen_jax.training.reduction import SHARDS, VirtualShards, whole_batch
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import make_mesh, state_shardings
from gen_jax.training.state import State, init_state

if TYPE_CHECKING:
    from gen_jax.metrics.score import Score


# At once, in memory.
MOST_SAMPLES = 1_000_000


def initial_state(game: Game, info: DataInfo, key: jax.Array) -> State:
    """The state before the first step, on data as described."""
    return init_state(game, key, example(info))


def example(info: DataInfo) -> dict[str, jax.Array]:
    """A batch of one, transformed, of data as described."""
    batch = {"x": jnp.zeros((1, *info.shape)), "index": jnp.zeros(1, jnp.int32)}
    if info.class_names is not None:
        batch["label"] = jnp.zeros(1, jnp.int32)
    return batch


def wanted_state(game: Game, info: DataInfo, mesh: Mesh) -> State:
    """The state as ShapeDtypeStructs that say where each array belongs."""
    shapes = jax.eval_shape(functools.partial(initial_state, game, info), jax.random.key(0))
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(mesh, shapes),
    )


def picture(samples: np.ndarray, dataset: Dataset | None = None) -> np.ndarray:
    """A grid of images, or a scatter plot of points, as uint8 (height, width, channels)."""
    if samples.ndim == 4:
        return image_grid(samples)
    return scatter_plot(samples, dataset.mixture.centres if dataset is not None and dataset.mixture else None)


class Examiner:
    """Evaluates states of a run: likelihoods on held-out data, and what is measured on samples."""

    def __init__(self, game: Game, dataset: Dataset, mesh: Mesh, config: Config, metrics: Sequence[SampleMetric]):
        # A run may be examined on more devices than it was trained on.
        multiple = math.lcm(SHARDS, mesh.size)
        self.batch_size = math.ceil(config.batch_size / multiple) * multiple
        held_out = functools.partial(evaluation_batches, dataset.test, self.batch_size)
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


@dataclass(frozen=True)
class Description:
    """What a run is: what it needs to go on, or to be looked at.

    Attributes:
      module: name of the experiment's module.
      config: its configuration.
      info: what it learns from.
    """

    module: str
    config: Config
    info: DataInfo

    @property
    def identity(self) -> dict[str, Any]:
        """What the run learns, as JSON: what each of its checkpoints must have in common with it."""
        free = free_fields(type(self.config))
        learned = {name: value for name, value in as_json(self.config).items() if name not in free}
        return {"experiment": self.module, "config": learned, "data": self.info.as_json()}


def described_run(path: epath.PathLike, options: Mapping[str, Any] = {}) -> tuple[Description, Game]:
    """What the run in a directory is, and its game.

    Args:
      path: of the run directory.
      options: of its configuration that do not change what was learned, to be other than they were.

    Raises:
      ConfigError: `path` is no run directory, or one of the options is none that may change.
    """
    stored = RunDirectory(path).read()
    experiment = find(stored["experiment"])
    config = from_json(type(experiment.presets["default"]), stored["config"])
    for name in options:
        if name not in free_fields(type(config)):
            raise ConfigError(f"{flag(name)} does not apply to {stored['experiment']['module']}")
    config = dataclasses.replace(config, **options)
    config.check()
    split_the_cpu(config.cpu_devices)
    info = DataInfo.from_json(stored["data"])
    return Description(stored["experiment"]["module"], config, info), experiment.build(config, info)


class Run:
    """A trained run, as `gen_jax.load` returns it.

    Attributes:
      directory: where it is.
      config: its configuration.
      info: what it was trained on.
      game: the method.
      step: number of completed steps of the checkpoint.
      state: the state at that step.
      mesh: the devices that hold it.
      sampler: draws samples of any state of the game.
    """

    def __init__(self, path: epath.PathLike, step: int | None = None, **options: Any):
        """Loads the newest checkpoint, or that of `step`. The data set is not needed.

        Args:
          path: of the run directory.
          step: of the checkpoint.
          **options: of the configuration, such as sampling_steps, that do not change what was learned.

        Raises:
          ConfigError: `path` is no run directory, or has no such checkpoint; an option does not apply.
        """
        keep_compiled_programs()
        self.directory = RunDirectory(path)
        description, self.game = described_run(path, options)
        self._options: dict[str, Any] = options
        self.config, self.info = description.config, description.info
        self.mesh = make_mesh()
        checkpoints = Checkpoints(
            self.directory.checkpoints, identity=description.identity, create=False, report=warnings.warn
        )
        try:
            steps = checkpoints.steps()
            if not steps:
                raise ConfigError(f"{path} has no checkpoint yet")
            if step is not None and step not in steps:
                raise ConfigError(f"{path} has no checkpoint of step {step}: it has steps {', '.join(map(str, steps))}")
            wanted = wanted_state(self.game, self.info, self.mesh)
            if step is not None:
                self.step, self.state = step, checkpoints.restore(step, wanted)
            else:
                newest = checkpoints.restore_newest(wanted)
                assert newest is not None
                self.step, self.state = newest
        finally:
            checkpoints.close()
        self.sampler = Sampler(self.game, self.mesh)

    @property
    def feature_mesh(self) -> Mesh:
        """The devices that compute features of images."""
        return mesh_for_features(self.config, self.mesh)

    def sample(self, n: int, seed: int = 0, **condition: Any) -> np.ndarray:
        """n samples: uint8 images (n, height, width, channels) or float32 points (n, 2); the same for the same seed."""
        if not 1 <= n <= MOST_SAMPLES:
            raise ConfigError(f"n is {n}; accepted: a number from 1 to {MOST_SAMPLES}")
        # JAX would take any other modulo 2^32 without a word.
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed is {seed}; accepted: a number from 0 to {2**32 - 1}")
        return self.sampler(self.state, keys.derive(jax.random.key(seed), "sample"), n, **condition)

    def sampling_otherwise(self, **options: Any) -> "Run":
        """The same run, with options that do not change what was learned: `sampling_steps=50` of a diffusion.

        Raises:
          ConfigError: an option does not apply.
        """
        other = copy.copy(self)
        description, other.game = described_run(self.directory.path, {**self._options, **options})
        other.config, other._options = description.config, {**self._options, **options}
        other.sampler = Sampler(other.game, other.mesh)
        return other

    def evaluate(
        self, metrics: str | Sequence[str] = (), data_dir: str | None = None, **protocol: Any
    ) -> list["Score"]:
        """Scores with all that they depend on: `run.evaluate(["fid", "nll"], samples=10_000)`.

        Args:
          metrics: names of measures, one or several; "all" that apply; or none for those that take seconds.
          data_dir: where the data are, if not where they were during training.
          **protocol: see `gen_jax.measures.Protocol`.

        Raises:
          ConfigError: a measure does not apply, or an option is out of range.
        """
        from gen_jax.measures import Protocol, Subject, measure

        names = [metrics] if isinstance(metrics, str) else metrics
        return measure(Subject(self, Protocol(**protocol), data_dir=data_dir), names)

    def load_data(self, data_dir: str | None = None) -> Dataset:
        """The data that it was trained on.

        Args:
          data_dir: where they are, if not where they were during training; of a folder of images, that folder.

        Raises:
          ConfigError: what is there is something else.
          DataError: they are not there.
        """
        config = self.config
        is_moved_folder = config.data.startswith(FOLDER) and data_dir is not None
        dataset = load_dataset(
            f"{FOLDER}{data_dir}" if is_moved_folder else config.data,
            data_dir=data_dir or config.data_dir,
            image_size=config.image_size,
            skip_bad_images=config.skip_bad_images,
        )
        found, known = DataInfo.of(dataset).fingerprint, self.info.fingerprint
        if found != known:
            raise ConfigError(f"the data {config.data} are not those of the run: fingerprint {found}, not {known}")
        return dataset

    def digest(self) -> str:
        """One hexadecimal string over every leaf of the state, to the bit, however it is sharded."""
        return digest(self.state)
