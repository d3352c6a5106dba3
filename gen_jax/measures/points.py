"""Samples beside real points of the plane: modes, and the distance between the distributions."""

import numpy as np

from gen_jax.errors import DoesNotApply
from gen_jax.measures.subject import Subject
from gen_jax.metrics.feature_measures import Found, Quantity
from gen_jax.metrics.mixture import mixture_coverage
from gen_jax.metrics.provenance import described
from gen_jax.metrics.score import Score
from gen_jax.metrics.wasserstein import wasserstein_1

# Points that the Wasserstein distance is computed between: its time grows with their cube.
TRANSPORTED = 2_500


def mixture(subject: Subject) -> list[Score]:
    """Modes found and the share of samples near one. Srivastava et al., arXiv 1705.07761."""
    known = None if subject.info.is_image else subject.dataset.mixture
    if known is None:
        raise DoesNotApply(f"mixture does not apply to {subject.info.name}: it is no mixture of known Gaussians")
    found = mixture_coverage(subject.points, known.centres, known.sigma)
    protocol = {**subject.sampled, "modes": len(known.centres), "within": "3 sigma"}
    return [
        subject.score(Quantity("modes", f"Modes of {len(known.centres)}", "larger"), Found(found["modes"]), protocol),
        subject.score(
            Quantity("high_quality", "High-quality samples", "larger"), Found(found["high_quality"]), protocol, "share"
        ),
    ]


def wasserstein(subject: Subject) -> list[Score]:
    """The exact Wasserstein-1 distance of samples from real points, beside that of two real sets of the same size."""
    if subject.info.is_image:
        raise DoesNotApply(f"wasserstein does not apply to {subject.info.name}: it has images, not points")
    real = points_of(subject, "test")
    count = min(len(real), subject.samples, TRANSPORTED)
    floor = wasserstein_1(points_of(subject, "train")[:count], real[:count])
    value = wasserstein_1(subject.points[:count], real[:count])
    protocol = {
        **subject.sampled,
        "points": count,
        "of two real sets": round(floor, 6),
        "reference": described(subject.info, subject.dataset, subject.dataset.test),
    }
    return [subject.score(Quantity("wasserstein_1", "Wasserstein-1 distance", "smaller"), Found(value), protocol)]


def points_of(subject: Subject, split: str) -> np.ndarray:
    """Real points, float32 (n, 2)."""
    data = subject.dataset.test if split == "test" else subject.dataset.train
    return data.load(np.arange(min(data.size, TRANSPORTED)))["x"]
