"""What was logged over the steps, averaged over seeds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gen_jax.metrics.evenly import thinned
from gen_jax.metrics.intervals import Interval, t_interval, with_interval

Logged = Mapping[int, float]
"""{step: value}; what was not finite is NaN or not there."""


@dataclass(frozen=True)
class Curve:
    """A metric over the steps of runs that differ in nothing but the seed.

    Attributes:
      seeds: what each run logged.
      steps: those at which all runs have a finite value, ascending.
      mean: over the seeds, at each of them.
      low, high: the interval of the mean, at each of them; empty where there is one seed.
    """

    seeds: Mapping[int, Logged]
    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __str__(self) -> str:
        """Where it ends: "-94.50 ± 0.12 at step 10000, 3 seeds"."""
        ends = (self.low[-1], self.high[-1]) if self.low else None
        count = f", {len(self.seeds)} seeds" if len(self.seeds) > 1 else ""
        return f"{with_interval(self.mean[-1], ends)} at step {self.steps[-1]}{count}"


def seed_curve(seeds: Mapping[int, Logged], points: int = 400, interval: Interval = t_interval) -> Curve:
    """The curve of one metric.

    Args:
      seeds: what each run logged; at least one.
      points: at most so many steps, evenly chosen among those that all have, the first and the last included.
      interval: of the mean.
    """
    shared = sorted(set.intersection(*({s for s, v in log.items() if math.isfinite(v)} for log in seeds.values())))
    steps = thinned(shared, points)
    columns = [[log[step] for log in seeds.values()] for step in steps]
    if len(seeds) == 1:
        return Curve(seeds, tuple(steps), tuple(value for (value,) in columns))
    estimates = [interval(values) for values in columns]
    return Curve(
        seeds,
        tuple(steps),
        tuple(estimate.value for estimate in estimates),
        tuple(estimate.low for estimate in estimates),
        tuple(estimate.high for estimate in estimates),
    )
