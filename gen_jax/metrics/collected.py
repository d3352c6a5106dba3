"""What is kept of a set of images after one pass over it: enough for every measure, and bounded in memory."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gen_jax.data.batches import evaluation_batches
from gen_jax.data.cache import cached
from gen_jax.data.dataset import Dataset, Split
from gen_jax.metrics.content import split_digest
from gen_jax.metrics.evenly import evenly_spread
from gen_jax.metrics.feature_network import FeatureExtractor
from gen_jax.metrics.moments import Moments

# Rows of features that are kept for measures that compare single images; moments and probabilities are of all.
KEPT = 10_000
# Part of the cache's file names: raise it when what is stored changes its meaning.
VERSION = 1


@dataclass(frozen=True)
class Collected:
    """A set of images as a feature network sees it.

    Attributes:
      moments: mean and covariance of the features of all images.
      features: float32 (kept, dimension), of images evenly spread over the set.
      probabilities: float32 (count, classes), of all images.
    """

    moments: Moments
    features: np.ndarray
    probabilities: np.ndarray

    @property
    def count(self) -> int:
        """How many images there were."""
        return self.moments.count


def collect(parts: Iterable[np.ndarray], size: int, extractor: FeatureExtractor, keep: int = KEPT) -> Collected:
    """Goes once over images.

    Args:
      parts: uint8 images (n, height, width, channels), of any n.
      size: how many images all parts have together.
      extractor: runs the feature network.
      keep: how many rows of features to keep at most.
    """
    moments = Moments(extractor.network.dimension)
    kept_positions = evenly_spread(size, keep)
    features, probabilities, first = [], [], 0
    for seen in extractor.stream(parts):
        moments.add(seen.features)
        probabilities.append(seen.probabilities)
        low, high = np.searchsorted(kept_positions, (first, first + len(seen.features)))
        features.append(seen.features[kept_positions[low:high] - first])
        first += len(seen.features)
    return Collected(moments, np.concatenate(features), np.concatenate(probabilities))


def images_of(split: Split, batch_size: int = 256) -> Iterator[np.ndarray]:
    """All images of a split, in order, in batches."""
    for batch in evaluation_batches(split, batch_size):
        yield batch["x"][batch["mask"]]


def reference(dataset: Dataset, split: Split, extractor: FeatureExtractor, keep: int = KEPT) -> Collected:
    """A split of real images, collected once for each content and feature network, and cached."""

    def make() -> dict[str, np.ndarray]:
        found = collect(images_of(split, extractor.batch_size), split.size, extractor, keep)
        return {**found.moments.as_arrays(), "features": found.features, "probabilities": found.probabilities}

    content, network = split_digest(dataset, split), extractor.network.digest
    stored = dict(cached(f"reference-{content}-{network}-{keep}-v{VERSION}", make))
    features, probabilities = stored.pop("features"), stored.pop("probabilities")
    return Collected(Moments.from_arrays(stored), features, probabilities)


def first_images(parts: Iterable[np.ndarray], count: int) -> np.ndarray:
    """The first `count` images of all parts together."""
    return np.stack(list(itertools.islice(itertools.chain.from_iterable(parts), count)))
