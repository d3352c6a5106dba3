"""Scores in the features of a network as they are measured again and again during training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh

from gen_jax.data.dataset import Dataset
from gen_jax.errors import ConfigError
from gen_jax.metrics.choice import feature_network
from gen_jax.metrics.collected import Collected, collect, reference
from gen_jax.metrics.feature_measures import FeatureMeasure, check_counts, feature_measures, qualified
from gen_jax.metrics.feature_network import FeatureExtractor


@dataclass(frozen=True)
class FeatureScores:
    """Several measures of the same samples.

    Attributes:
      measures: which.
      real: the held-out images, as the feature network sees them.
      extractor: runs the feature network.
      samples: how many samples it wants.
    """

    measures: Sequence[FeatureMeasure]
    real: Collected
    extractor: FeatureExtractor
    samples: int

    @property
    def names(self) -> tuple[str, ...]:
        """What the numbers are called: all that forbids a comparison is in the name."""
        network, real = self.extractor.network, self.real.count
        return tuple(
            qualified(quantity, each.samples(real, self.samples), network).metric
            for each in self.measures
            for quantity in each.quantities
        )

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """Of uint8 images (n, height, width, channels)."""
        generated = collect([samples], len(samples), self.extractor)
        values = [found.value for each in self.measures for found in each.compute(self.real, generated)]
        return dict(zip(self.names, values, strict=True))


def feature_scores(
    names: Sequence[str], samples: int, dataset: Dataset, mesh: Mesh, say: Callable[[str], None] = lambda line: None
) -> FeatureScores:
    """The measures of those names, against the held-out images of a data set.

    Raises:
      ConfigError: there is no such measure, or no feature network for these data.
    """
    known = feature_measures()
    for name in names:
        if name not in known:
            raise ConfigError(f"--eval-metrics has {name!r}; accepted: {', '.join(known)}")
    if dataset.kind != "image":
        raise ConfigError(f"--eval-metrics does not apply to {dataset.name}: it has points, not images")
    for name in names:
        check_counts(name, known[name], "--eval-samples", samples, dataset.test.size)
    extractor = FeatureExtractor(feature_network(dataset, mesh, say=say), mesh)
    return FeatureScores(
        [known[name] for name in names], reference(dataset, dataset.test, extractor), extractor, samples
    )
