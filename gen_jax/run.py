"""A run: trained by `train_run`, looked at through `Run`."""

import functools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh
from rich.console import Console

from gen_jax.config import Config, from_json
from gen_jax.data import Dataset, evaluation_batches, load_dataset, open_source
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.experiment import Experiment, find
from gen_jax.metrics import SampleMetric, cheap_sample_metrics, sample_metrics
from gen_jax.run_directory import RunDirectory, default_run_dir
from gen_jax.training import keys
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.evaluation import Evaluator
from gen_jax.training.fingerprint import digest
from gen_jax.training.game import Game
from gen_jax.training.grid import image_grid, scatter_plot, write_png
from gen_jax.training.loop import Cadence, train
from gen_jax.training.metrics_log import MetricsLog
from gen_jax.training.program import Program
from gen_jax.training.progress import Reporter, duration
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import make_mesh, replicated, split_batch
from gen_jax.training.state import State, init_state


def initial_state(game: Game, info: DataInfo, key: jax.Array) -> State:
    """The state before the first step, on data as described."""
    example = {"x": jnp.zeros((1, *info.shape)), "index": jnp.zeros(1, jnp.int32)}
    if info.class_names is not None:
        example["label"] = jnp.zeros(1, jnp.int32)
    return init_state(game, key, example)


def restore_or_init(
    game: Game, info: DataInfo, mesh: Mesh, seed: int, checkpoints: Checkpoints, step: int | None
) -> State:
    """The state saved at `step`, or the initial one where that is None, on all devices of the mesh."""
    make = functools.partial(initial_state, game, info)
    key = jax.random.key(seed)
    if step is None:
        return jax.jit(make, out_shardings=replicated(mesh))(key)
    wanted = jax.eval_shape(make, key)
    sharding = replicated(mesh)
    return checkpoints.restore(
        step, jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), wanted)
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
        batch_size = math.ceil(config.batch_size / mesh.size) * mesh.size
        held_out = functools.partial(evaluation_batches, dataset.test, batch_size)
        self.evaluator = Evaluator(game, held_out, mesh, config.seed)
        self.sampler = Sampler(game)
        self.metrics = metrics
        self.root = jax.random.key(config.seed)

    def __call__(self, state: State) -> dict[str, float]:
        """All metrics by name. The same latents each time."""
        found = self.evaluator(state)
        for metric in self.metrics:
            found.update(metric(self.sampler(state, keys.derive(self.root, "metric"), metric.samples)))
        return found


def check_batch_size(config: Config, info: DataInfo, devices: int) -> None:
    """Raises ConfigError for a batch that the data cannot fill or that the devices cannot share."""
    if config.batch_size > info.train_size:
        raise ConfigError(
            f"--batch-size is {config.batch_size}; accepted: at most {info.train_size}, "
            f"the number of training examples in {info.name}"
        )
    if config.batch_size % devices:
        raise ConfigError(f"--batch-size is {config.batch_size}; accepted: a multiple of the {devices} devices")


def train_run(experiment: Experiment, config: Config, console: Console | None = None) -> epath.Path:
    """Trains, or continues, the run that a configuration describes. Returns its directory.

    All that can be wrong with the request is looked at before anything is compiled.

    Raises:
      ConfigError, DataError: the request cannot be carried out.
      NonFiniteError: the numbers stopped being finite.
    """
    console = console or Console()
    config.check()
    directory = RunDirectory(config.run_dir or default_run_dir(experiment.name, config.data))
    directory.claim()
    directory.check_same(experiment.identity["module"], config)
    dataset = load_dataset(
        config.data, data_dir=config.data_dir, image_size=config.image_size, skip_bad_images=config.skip_bad_images
    )
    info = DataInfo.of(dataset)
    directory.check_same(experiment.identity["module"], config, info.as_json())
    mesh = make_mesh()
    check_batch_size(config, info, mesh.size)
    game = experiment.build(config, info)
    directory.record(experiment.identity, config, info.as_json())

    checkpoints = Checkpoints(directory.checkpoints, config.keep)
    begin = checkpoints.latest()
    source = open_source(
        dataset.train,
        batch_size=config.batch_size,
        seed=config.seed,
        draws=game.draws,
        sharding=replicated(mesh),
        stream_sharding=split_batch(mesh, axis=1),
        start=begin or 0,
    )
    log = MetricsLog(directory.path, begin or 0)
    cadence = Cadence(config.steps, config.log_every, config.eval_every, config.save_every)
    reporter = Reporter(console, begin or 0, config.steps, config.batch_size * game.draws)
    examiner = Examiner(game, dataset, mesh, config, cheap_sample_metrics(dataset))
    grid_key = keys.derive(jax.random.key(config.seed), "grid")
    grid_size = config.grid_samples * (1 if info.is_image else 32)

    def evaluate(step: int, state: State) -> Mapping[str, float]:
        write_png(directory.samples(step), picture(examiner.sampler(state, grid_key, grid_size), dataset))
        return examiner(state)

    try:
        state = restore_or_init(game, info, mesh, config.seed, checkpoints, begin)
        describe(reporter, info, state, config, begin)
        begun = time.perf_counter()
        with reporter:
            state = train(
                Program(game, source, mesh, config.seed),
                state,
                cadence,
                checkpoints=checkpoints,
                log=log,
                reporter=reporter,
                evaluate=evaluate,
            )
    finally:
        log.close()
        checkpoints.close()
        source.close()
    if begin is not None and begin >= config.steps:
        reporter.say(f"already finished: {begin} of {config.steps} steps are done")
    else:
        reporter.say(f"finished {config.steps} steps in {duration(time.perf_counter() - begun)}")
    reporter.say(f"run      {directory.path}")
    reporter.say(f"samples  {directory.samples(int(state.step))}")
    return directory.path


def describe(reporter: Reporter, info: DataInfo, state: State, config: Config, begin: int | None) -> None:
    """Says what is about to be trained, on what and where."""
    parameters = {net: sum(leaf.size for leaf in jax.tree.leaves(tree)) for net, tree in state.params.items()}
    reporter.say(
        f"data     {info.name}: {info.train_size:,} examples of {'x'.join(map(str, info.shape))}, "
        f"{info.held_out_size:,} held out"
    )
    reporter.say("nets     " + ", ".join(f"{net} {count:,}" for net, count in parameters.items()) + " parameters")
    devices = jax.devices()
    reporter.say(f"devices  {len(devices)} {devices[0].device_kind}, {config.precision}, batch {config.batch_size}")
    if begin is not None:
        reporter.say(f"continuing after step {begin}")


class Run:
    """A trained run, as `gen_jax.load` returns it.

    Attributes:
      directory: where it is.
      config: its configuration.
      info: what it was trained on.
      game: the method.
      step: number of completed steps of the checkpoint.
      state: the state at that step.
    """

    def __init__(self, path: epath.PathLike, step: int | None = None):
        """Loads the newest checkpoint, or that of `step`. The data set is not needed.

        Raises:
          ConfigError: `path` is no run directory, or has no such checkpoint.
        """
        self.directory = RunDirectory(path)
        stored = self.directory.read()
        experiment = find(stored["experiment"])
        self.config = from_json(type(experiment.presets["default"]), stored["config"])
        self.info = DataInfo.from_json(stored["data"])
        self.game = experiment.build(self.config, self.info)
        self._mesh = make_mesh()
        checkpoints = Checkpoints(self.directory.checkpoints, create=False)
        try:
            steps = checkpoints.steps()
            if not steps or (step is not None and step not in steps):
                has = f"it has steps {', '.join(map(str, steps))}" if steps else "it has none yet"
                raise ConfigError(f"{path} has no checkpoint{'' if step is None else f' of step {step}'}: {has}")
            self.step = steps[-1] if step is None else step
            self.state = restore_or_init(self.game, self.info, self._mesh, self.config.seed, checkpoints, self.step)
        finally:
            checkpoints.close()
        self._sampler = Sampler(self.game)

    def sample(self, n: int, seed: int = 0, **condition: Any) -> np.ndarray:
        """n samples: uint8 images (n, height, width, channels) or float32 points (n, 2); the same for the same seed."""
        if n < 1:
            raise ConfigError(f"n is {n}; accepted: a number of at least 1")
        # JAX would take any other modulo 2^32 without a word.
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed is {seed}; accepted: a number from 0 to {2**32 - 1}")
        return self._sampler(self.state, keys.derive(jax.random.key(seed), "sample"), n, **condition)

    def evaluate(self, data_dir: str | None = None) -> dict[str, float]:
        """All metrics that the method and the data allow, on the held-out data, by name.

        Args:
          data_dir: where the data are, if not where they were during training.
        """
        config = self.config
        dataset = load_dataset(
            config.data,
            data_dir=data_dir or config.data_dir,
            image_size=config.image_size,
            skip_bad_images=config.skip_bad_images,
        )
        return Examiner(self.game, dataset, self._mesh, config, sample_metrics(dataset))(self.state)

    def digest(self) -> str:
        """One hexadecimal string over every leaf of the state, to the bit, however it is sharded."""
        return digest(self.state)
