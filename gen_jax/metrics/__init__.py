"""What is measured on samples. A metric says how many samples it wants and maps them to numbers by name."""

from typing import Protocol, runtime_checkable

import numpy as np

from gen_jax.data.dataset import Dataset
from gen_jax.metrics.mixture import MixtureCoverage, mixture_coverage
from gen_jax.metrics.recognition import Recognition

__all__ = [
    "MixtureCoverage",
    "Recognition",
    "SampleMetric",
    "mixture_coverage",
    "sample_metrics",
]


@runtime_checkable
class SampleMetric(Protocol):
    """Numbers about samples."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the numbers are called."""

    @property
    def samples(self) -> int:
        """How many samples it wants."""

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """Maps that many samples to numbers by name."""


def sample_metrics(dataset: Dataset) -> list[SampleMetric]:
    """What is measured on samples at every evaluation during training."""
    if dataset.mixture is not None:
        return [MixtureCoverage(dataset.mixture.centres, dataset.mixture.sigma)]
    return []
