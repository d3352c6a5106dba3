"""Scores in the features of a network as they are measured again and again during training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.sharding import Mesh

from gen_jax.data.dataset import Dataset
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError, nearest
from gen_jax.metrics.choice import feature_network
from gen_jax.metrics.collected import KEPT, Collected, collect, reference
from gen_jax.metrics.feature_measures import (
    FeatureMeasure,
    Quantity,
    check_counts,
    feature_measures,
    protocol,
    qualified,
)
from gen_jax.metrics.feature_network import FeatureExtractor
from gen_jax.metrics.provenance import described
from gen_jax.metrics.score import Score


@dataclass(frozen=True)
class FeatureScores:
    """Several measures of the same samples.

    Attributes:
      measures: which.
      real: the held-out images, as the feature network sees them.
      reference: which images those are, as JSON.
      extractor: runs the feature network.
      samples: how many samples it wants.
    """

    measures: Sequence[FeatureMeasure]
    real: Collected
    reference: Mapping[str, Any]
    extractor: FeatureExtractor
    samples: int

    @property
    def quantities(self) -> list[tuple[FeatureMeasure, Quantity]]:
        """What is measured, and each number that it gives: all that forbids a comparison is in its name."""
        network, real = self.extractor.network, self.real.count
        return [
            (each, qualified(quantity, each.samples(real, self.samples), network))
            for each in self.measures
            for quantity in each.quantities
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """What the numbers are called."""
        return tuple(quantity.metric for _, quantity in self.quantities)

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """Of uint8 images (n, height, width, channels)."""
        generated = collect([samples], len(samples), self.extractor)
        values = [found.value for each in self.measures for found in each.compute(self.real, generated)]
        return dict(zip(self.names, values, strict=True))

    def scores(self, step: int, values: Mapping[str, float], sampled: Mapping[str, Any]) -> list[Score]:
        """The numbers with all that they depend on.

        Args:
          step: after which they were measured.
          values: by name; others may be among them.
          sampled: how the samples were made.
        """
        rows = len(self.real.features), min(self.samples, KEPT)
        return [
            Score(
                quantity.metric,
                quantity.name,
                values[quantity.metric],
                quantity.better,
                step,
                protocol(each, rows, self.extractor.network, sampled, self.reference),
            )
            for each, quantity in self.quantities
        ]


def feature_scores(
    names: Sequence[str], samples: int, dataset: Dataset, mesh: Mesh, say: Callable[[str], None] = lambda line: None
) -> FeatureScores:
    """The measures of those names, against the held-out images of a data set.

    Raises:
      ConfigError: there is no such measure, or no feature network for these data.
    """
    known = feature_measures()
    names = [name for word in names for name in word.split(",") if name]
    for name in names:
        if name not in known:
            raise ConfigError(f"--eval-metrics has {name!r}{nearest(name, known)}. Accepted: {', '.join(known)}")
    if dataset.kind != "image":
        raise ConfigError(f"--eval-metrics does not apply to {dataset.name}: it has points, not images")
    for name in names:
        check_counts(name, known[name], "--eval-samples", samples, dataset.test.size)
    extractor = FeatureExtractor(feature_network(dataset, mesh, say=say), mesh)
    real = reference(dataset, dataset.test, extractor)
    said = described(DataInfo.of(dataset), dataset, dataset.test)
    return FeatureScores([known[name] for name in names], real, said, extractor, samples)
