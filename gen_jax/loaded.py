"""A trained run, as `gen_jax.load` returns it."""

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh

from gen_jax.data import Dataset
from gen_jax.data.info import DataInfo
from gen_jax.data.subset import subset
from gen_jax.errors import ConfigError
from gen_jax.measures import measure
from gen_jax.measures.protocol import Protocol
from gen_jax.measures.subject import Subject
from gen_jax.metrics.likelihood import ImportanceSampler
from gen_jax.metrics.score import Score
from gen_jax.run.data import load_data
from gen_jax.run.devices import cpu_parts_here, devices_for, mesh_for_features
from gen_jax.run.directory import RunDirectory
from gen_jax.run.parts import described_run
from gen_jax.run.setup import wanted_state
from gen_jax.training import keys
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.coding import Coder
from gen_jax.training.fingerprint import digest
from gen_jax.training.given import encoded
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import make_mesh

# Examples that are scored at once.
CHUNK = 128
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
      coder: encodes and decodes, where the game has a codec.
    """

    def __init__(self, path: epath.PathLike, step: int | None = None, data: Dataset | None = None, **options: Any):
        """Loads the newest checkpoint, or that of `step`. The data set is not needed.

        Args:
          path: of the run directory.
          step: of the checkpoint.
          data: what it was trained on, where that came from Python and cannot be loaded by its name.
          **options: of the configuration, such as sampling_steps, that do not change what was learned.

        Raises:
          ConfigError: `path` is no run directory, or has no such checkpoint; an option does not apply.
        """
        self.directory, self._data = RunDirectory(path), data
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
        self.sampler, self.coder = Sampler(self.game, self.mesh), Coder(self.game, self.mesh)

    @property
    def feature_mesh(self) -> Mesh:
        """The devices that compute features of images."""
        return mesh_for_features(self.mesh, self._cpu_parts)

    def sample(self, n: int, seed: int = 0, **given: Any) -> np.ndarray:
        """n samples as the data are stored, such as uint8 images (n, height, width, channels).

        Args:
          n: how many.
          seed: the same seed gives the same samples.
          **given: what is asked of them: `label=3`, `label="cat"`, one for all or a list with one for each.

        Raises:
          ConfigError: the run makes no samples, takes no such conditions, or a number is out of range.
        """
        if not 1 <= n <= MOST_SAMPLES:
            raise ConfigError(f"n is {n}; accepted: a number from 1 to {MOST_SAMPLES}")
        return self.sampler(self.state, self._key(seed, "sample"), n, **given)

    def encode(self, x: np.ndarray, seed: int = 0, **given: Any) -> np.ndarray:
        """Codes (n, *codes) of examples x (n, *shape) as stored; `given` is what is known of them, such as labels.

        Raises:
          ConfigError: the method has no encoder; the message says what it can do.
        """
        return self.coder.encode(self.state, np.asarray(x), self._key(seed, "encode"), **given)

    def decode(self, codes: np.ndarray, seed: int = 0, **given: Any) -> np.ndarray:
        """Examples (n, *shape) as the data are stored, of codes (n, *codes).

        Raises:
          ConfigError: the method has no decoder, or its codes have another shape.
        """
        return self.coder.decode(self.state, np.asarray(codes), self._key(seed, "decode"), **given)

    def reconstruct(self, x: np.ndarray, seed: int = 0, **given: Any) -> np.ndarray:
        """What encoder and decoder make of examples x (n, *shape), as stored.

        Raises:
          ConfigError: the method has no encoder.
        """
        self.game.require("reconstruct")
        return self.decode(self.encode(x, seed, **given), seed, **given)

    def interpolate(
        self, x: np.ndarray | None = None, n: int = 8, columns: int = 10, seed: int = 0, **given: Any
    ) -> np.ndarray:
        """From each example to the next in the space of codes: (rows, columns, *shape) as the data are stored.

        Args:
          x: examples (rows, *shape) as stored; None: n codes are drawn.
          n: rows, where no examples are given.
          columns: examples a row, both ends among them.
          seed: of what is drawn.
          **given: conditions, one for all or a list with one for each row.

        Raises:
          ConfigError: the method has no codec, no encoder for x, or no distribution to draw codes from.
        """
        self.game.require("interpolate")
        codec = self.game.codec
        assert codec is not None
        if x is not None:
            start = self.encode(x, seed, **given)
        elif codec.draw is None:
            raise ConfigError("x is missing: this method draws no codes, and leads from one example to another")
        else:
            start = np.asarray(codec.draw(self._key(seed, "codes"), n))
        path = np.asarray(codec.path(jnp.asarray(start), jnp.roll(jnp.asarray(start), -1, axis=0), columns))
        rows = encoded(self.game, given, len(start))
        asked = {name: np.repeat(value, columns, axis=0) for name, value in rows.items()}
        shown = self.decode(path.reshape(-1, *path.shape[2:]), seed, **asked)
        return shown.reshape(len(start), columns, *shown.shape[1:])

    def log_prob(self, x: np.ndarray | Mapping[str, np.ndarray], draws: int = 500, seed: int = 0) -> np.ndarray:
        """log p(x) of examples, nats (n,): exact, or by importance sampling, which is then a lower bound on average.

        Args:
          x: examples (n, *shape) as stored, or all entries of a batch, where the method looks at more than x.
          draws: importance samples of each.
          seed: of them.

        Raises:
          ConfigError: the method gives no probabilities, or only a bound.
        """
        self.game.require("log_prob")
        rows = dict(x) if isinstance(x, Mapping) else {"x": np.asarray(x)}
        count, size = len(rows["x"]), CHUNK
        rows.setdefault("index", np.arange(count, dtype=np.int32))

        def batches() -> Iterator[dict[str, np.ndarray]]:
            for low in range(0, count, size):
                wanted = np.arange(low, low + size)
                at = np.minimum(wanted, count - 1)
                yield {name: np.asarray(value)[at] for name, value in rows.items()} | {"mask": at == wanted}

        sampler = ImportanceSampler(self.game, batches, self.mesh, self._checked(seed), draws)
        return sampler.each(self.state)

    def _key(self, seed: int, name: str) -> jax.Array:
        return keys.derive(jax.random.key(self._checked(seed)), name)

    @staticmethod
    def _checked(seed: int) -> int:
        # JAX would take any other modulo 2^32 without a word.
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed is {seed}; accepted: a number from 0 to {2**32 - 1}")
        return seed

    def sampling_otherwise(self, **options: Any) -> "Run":
        """The same run, with options that do not change what was learned: `sampling_steps=50` of a diffusion.

        Raises:
          ConfigError: an option does not apply.
        """
        other = copy.copy(self)
        description, other.game = described_run(self.directory.path, {**self._options, **options})
        other.config, other._options = description.config, {**self._options, **options}
        other.sampler, other.coder = Sampler(other.game, other.mesh), Coder(other.game, other.mesh)
        return other

    def evaluate(self, metrics: str | Sequence[str] = (), data_dir: str | None = None, **protocol: Any) -> list[Score]:
        """Scores with all that they depend on: `run.evaluate(["fid", "nll"], samples=10_000)`.

        Args:
          metrics: names of measures, one or several; "all" that apply; or none for those that take seconds.
          data_dir: where the data are, if not where they were during training.
          **protocol: see `gen_jax.measures.Protocol`; and options of the run's sampling: `sampler="ddim"`, `eta=0.5`.

        Raises:
          ConfigError: a measure does not apply, or an option is out of range.
        """
        names = [metrics] if isinstance(metrics, str) else metrics
        return measure(Subject(self, Protocol.of(protocol), data_dir=data_dir), names)

    def load_data(self, data_dir: str | None = None) -> Dataset:
        """The data that it was trained on.

        Args:
          data_dir: where they are, if not where they were during training; of a folder of images, that folder.

        Raises:
          ConfigError: what is there is something else.
          DataError: they are not there.
        """
        config = self.config
        dataset = load_data(config, data_dir) if self._data is None else subset(self._data, config.examples)
        found, known = DataInfo.of(dataset).fingerprint, self.info.fingerprint
        if found != known:
            raise ConfigError(f"the data {config.data} are not those of the run: fingerprint {found}, not {known}")
        return dataset

    def digest(self) -> str:
        """One hexadecimal string over every leaf of the state, to the bit, however it is sharded."""
        return digest(self.state)
