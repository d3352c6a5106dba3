"""Which saved steps are kept: the newest, and the best by a metric."""

import math
from collections.abc import Mapping
from typing import NamedTuple


class Best(NamedTuple):
    """What makes a step the best.

    Attributes:
      metric: its name.
      larger: whether more of it is better.
    """

    metric: str
    larger: bool


def best_step(metrics: Mapping[int, Mapping[str, float | None]], best: Best) -> int | None:
    """The step whose metric is best, the newest of equals; None where no step has a finite one."""
    name, sign = best.metric, 1.0 if best.larger else -1.0
    ranked = []
    for step, found in metrics.items():
        value = found.get(name)
        if value is not None and math.isfinite(value):
            ranked.append((sign * value, step))
    return max(ranked)[1] if ranked else None


def kept_steps(metrics: Mapping[int, Mapping[str, float | None]], keep: int, best: Best | None) -> set[int]:
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
