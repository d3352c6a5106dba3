"""A network in whose features images are compared, and how it is run over many of them."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.data.batches import place
from gen_jax.training.compilation import CompiledTogether
from gen_jax.training.sharding import replicated, split_batch


class Seen(NamedTuple):
    """What a feature network sees in images.

    Attributes:
      features: float32 (n, dimension).
      probabilities: float32 (n, classes), of its classes.
    """

    features: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class FeatureNetwork:
    """A trained network that maps images to features.

    Attributes:
      name: "inception", or what it is, such as "mnist classifier". A score from any but the first carries it.
      digest: tells its weights from all others.
      dimension: number of features.
      apply: (variables, uint8 images (batch, height, width, channels)) -> features, probabilities.
      variables: of the network.
      accuracy: share of held-out images that it classifies rightly, where that is known.
      batch_size: how many images are seen at once, at most.
    """

    name: str
    digest: str
    dimension: int
    apply: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]
    variables: Any = dataclasses.field(repr=False)
    accuracy: float | None = None
    batch_size: int = 256

    @property
    def slug(self) -> str:
        """The name as files have it: letters, digits and underscores."""
        return re.sub(r"\W+", "_", self.name).strip("_").lower()

    @property
    def provenance(self) -> dict[str, Any]:
        """What is stored with a score, as JSON."""
        found = {"name": self.name, "digest": self.digest, "dimension": self.dimension}
        return found if self.accuracy is None else {**found, "accuracy": round(self.accuracy, 4)}


class FeatureExtractor:
    """Runs a feature network over images, in batches of one size, on all devices."""

    def __init__(self, network: FeatureNetwork, mesh: Mesh):
        """Nothing is compiled yet; the network's batch size is rounded up to a multiple of the devices."""
        self.network, self.mesh = network, mesh
        self.batch_size = -(-network.batch_size // mesh.size) * mesh.size
        self._apply = CompiledTogether(jax.jit(network.apply, out_shardings=replicated(mesh)))
        self._variables = jax.device_put(network.variables, replicated(mesh))

    def __call__(self, images: np.ndarray) -> Seen:
        """Of uint8 images (n, height, width, channels), all at once in the result."""
        parts = list(self.stream([images]))
        return Seen(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def stream(self, parts: Iterable[np.ndarray]) -> Iterator[Seen]:
        """Of the images of each part, in order, no more than a batch at once."""
        for images in parts:
            for low in range(0, len(images), self.batch_size):
                rows = images[low : low + self.batch_size]
                batch = place(np.resize(rows, (self.batch_size, *rows.shape[1:])), split_batch(self.mesh))
                seen = jax.device_get(self._apply(self._variables, batch))
                yield Seen(*(np.asarray(array)[: len(rows)] for array in seen))
