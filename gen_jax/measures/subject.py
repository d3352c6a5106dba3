"""What is measured: a trained run, its samples and its data, under one protocol."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from gen_jax.data import Dataset
from gen_jax.data.dataset import Split
from gen_jax.measures.protocol import Protocol
from gen_jax.metrics.choice import feature_network
from gen_jax.metrics.collected import Collected, collect, reference
from gen_jax.metrics.feature_measures import Found, Quantity
from gen_jax.metrics.feature_network import FeatureExtractor, FeatureNetwork
from gen_jax.metrics.provenance import described, sampled
from gen_jax.metrics.score import Score
from gen_jax.training import keys
from gen_jax.training.state import State

if TYPE_CHECKING:
    from gen_jax.loaded import Run

T = TypeVar("T")

# Images that are kept of the samples, for measures that look at pixels.
KEPT_IMAGES = 2_000


class Subject:
    """A run while it is measured. Data, samples and features are made when a measure first asks for them."""

    def __init__(
        self,
        run: "Run",
        protocol: Protocol,
        *,
        data_dir: str | None = None,
        say: Callable[[str], None] = lambda line: None,
        progress: Callable[[str, int, int], None] = lambda what, done, of: None,
    ):
        """Nothing is computed yet.

        Args:
          run: with its checkpoint.
          protocol: how it is measured.
          data_dir: where the data are, if not where they were during training.
          say: is told before something takes long.
          progress: is told of what ("samples"), how many are done, and of how many.

        Raises:
          ConfigError: an option is out of range, or does not apply to the run.
        """
        protocol.check()
        if protocol.sampling:
            run = run.sampling_otherwise(**protocol.sampling)
        self.run, self.protocol, self._data_dir, self.say, self.progress = run, protocol, data_dir, say, progress
        self.game, self.info = run.game, run.info
        self._made: dict[str, Any] = {}

    @functools.cached_property
    def state(self) -> State:
        """With the weights of the protocol as those that sample."""
        return (
            self.run.state if self.protocol.weights == "average" else dataclasses.replace(self.run.state, averages={})
        )

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The run's data."""
        return self.run.load_data(self._data_dir)

    @property
    def split(self) -> Split:
        """The real data that samples are compared with."""
        return self.dataset.test if self.protocol.reference == "test" else self.dataset.train

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.protocol.samples or (10_000 if self.info.is_image else 2_500)

    @functools.cached_property
    def network(self) -> FeatureNetwork:
        """The feature network that the protocol names, or that suits the data."""
        return feature_network(self.dataset, self.run.feature_mesh, self.protocol.features, self.say)

    @functools.cached_property
    def extractor(self) -> FeatureExtractor:
        """Runs the feature network."""
        return FeatureExtractor(self.network, self.run.feature_mesh)

    @functools.cached_property
    def real(self) -> Collected:
        """The real images, as the feature network sees them."""
        return reference(self.dataset, self.split, self.extractor)

    @functools.cached_property
    def generated(self) -> Collected:
        """The samples, as the feature network sees them."""
        kept: list[np.ndarray] = []

        def seen() -> Iterator[np.ndarray]:
            for part in self._drawn():
                if sum(map(len, kept)) < KEPT_IMAGES:
                    kept.append(part)
                yield part

        found = collect(seen(), self.samples, self.extractor)
        self.__dict__["images"] = np.concatenate(kept)[:KEPT_IMAGES]
        return found

    @functools.cached_property
    def points(self) -> np.ndarray:
        """The samples of a model of points, float32 (n, 2)."""
        return np.concatenate(list(self._drawn()))

    @functools.cached_property
    def images(self) -> np.ndarray:
        """The first samples, uint8 (n, height, width, channels), at most KEPT_IMAGES."""
        parts, wanted = [], min(self.samples, KEPT_IMAGES)
        for part in self._drawn():
            parts.append(part)
            if sum(map(len, parts)) >= wanted:
                break
        return np.concatenate(parts)[:wanted]

    @property
    def sample_key(self) -> jax.Array:
        """Of the samples."""
        return keys.derive(jax.random.key(self.protocol.seed), "sample")

    def _drawn(self) -> Iterator[np.ndarray]:
        done = 0
        for part in self.run.sampler.stream(self.state, self.sample_key, self.samples):
            done += len(part)
            self.progress("samples", done, self.samples)
            yield part

    @property
    def sampled(self) -> dict[str, Any]:
        """What a score of samples depends on, as JSON."""
        return sampled(self.game, self.samples, self.protocol.seed, self.weights)

    @property
    def weights(self) -> str:
        """Which weights are used: "average" only where there is one."""
        return "average" if self.state.averages else "last"

    @functools.cached_property
    def referred(self) -> dict[str, Any]:
        """What a comparison with real data depends on, as JSON."""
        return described(self.info, self.dataset, self.split)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returned when it was first called by that name: measures share what is expensive."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def score(self, quantity: Quantity, found: Found, protocol: dict[str, Any], unit: str = "") -> Score:
        """A number with its protocol."""
        interval = None if found.interval is None or not np.isfinite(found.interval).all() else found.interval
        return Score(
            quantity.metric, quantity.name, found.value, quantity.better, self.run.step, protocol, interval, unit
        )
