"""Which saved steps are kept: the newest, and the best by a metric."""

import math
from collections.abc import Mapping

# Metrics of which more is better; of all others, such as losses, distances and FID, less is. A name may go on after an
# underscore with what it depends on: precision_1k_mnist_classifier.
LARGER_IS_BETTER = frozenset(
    {
        "accuracy",
        "authenticity",
        "coverage",
        "density",
        "elbo",
        "high_quality",
        "inception_score",
        "log_likelihood",
        "modes",
        "precision",
        "psnr",
        "rarest_class",
        "recall",
        "recognised",
        "ssim",
    }
)


def larger_is_better(name: str) -> bool:
    """Whether more of a metric is better."""
    return any(name == known or name.startswith(f"{known}_") for known in LARGER_IS_BETTER)


def best_step(metrics: Mapping[int, Mapping[str, float | None]], name: str) -> int | None:
    """The step whose metric `name` is best, the newest of equals; None where no step has a finite one."""
    sign = 1.0 if larger_is_better(name) else -1.0
    ranked = []
    for step, found in metrics.items():
        value = found.get(name)
        if value is not None and math.isfinite(value):
            ranked.append((sign * value, step))
    return max(ranked)[1] if ranked else None


def kept_steps(metrics: Mapping[int, Mapping[str, float | None]], keep: int, best: str | None) -> set[int]:
    """The steps to keep.

    Args:
      metrics: what was measured at each saved step; a step that was not evaluated has none, and is kept as one of the
        newest alone.
      keep: how many of the newest.
      best: the metric whose best step is kept as well, or None.
    """
    kept = set(sorted(metrics)[-keep:])
    step = None if best is None else best_step(metrics, best)
    return kept if step is None else kept | {step}
