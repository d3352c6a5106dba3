"""A trained run, as `gen_jax.load` returns it."""

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from gen_jax.data import Dataset, load_dataset
from gen_jax.data.info import DataInfo
from gen_jax.data.load import FOLDER
from gen_jax.errors import ConfigError
from gen_jax.measures import measure
from gen_jax.measures.protocol import Protocol
from gen_jax.measures.subject import Subject
from gen_jax.metrics.score import Score
from gen_jax.run.described import described_run
from gen_jax.run.devices import cpu_parts_here, devices_for, mesh_for_features
from gen_jax.run.directory import RunDirectory
from gen_jax.run.setup import wanted_state
from gen_jax.training import keys
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.fingerprint import digest
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import make_mesh

# At once, in memory.
MOST_SAMPLES = 1_000_000


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
        self.directory = RunDirectory(path)
        description, self.game = described_run(path, options)
        self._options: dict[str, Any] = options
        self.config, self.info = description.config, description.info
        self._cpu_parts = cpu_parts_here(self.config, description.cpu_parts)
        self.mesh = make_mesh(devices_for(self.config, self._cpu_parts))
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
        return mesh_for_features(self.mesh, self._cpu_parts)

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

    def evaluate(self, metrics: str | Sequence[str] = (), data_dir: str | None = None, **protocol: Any) -> list[Score]:
        """Scores with all that they depend on: `run.evaluate(["fid", "nll"], samples=10_000)`.

        Args:
          metrics: names of measures, one or several; "all" that apply; or none for those that take seconds.
          data_dir: where the data are, if not where they were during training.
          **protocol: see `gen_jax.measures.Protocol`.

        Raises:
          ConfigError: a measure does not apply, or an option is out of range.
        """
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
