"""The lines of a run's metrics as charts: one for each metric, or for each family of metrics on one scale."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gen_jax.metrics.evenly import thinned
from gen_jax.metrics.logged import Reported
from gen_jax.metrics.titles import title_of
from gen_jax.show.charts import Chart, Series

Line = Mapping[str, Any]
"""A line of metrics.jsonl: step, split, and metrics that are numbers or None."""

# Metrics whose last word is one of these share a chart: discriminator_loss and generator_loss.
FAMILIES = ("loss", "logits", "accuracy")
SPLITS = ("train", "eval")
# More points than a chart has pixels only make the page large.
MOST_POINTS = 2000
GREY = 8


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """Metrics by the chart that they are drawn in, in order of appearance."""
    found: dict[str, list[str]] = {}
    for name in names:
        word = name.rpartition("_")[2]
        found.setdefault(word if word in FAMILIES else name, []).append(name)
    return found


def curves(lines: Iterable[Line], names: Mapping[str, str] = {}, reports: Mapping[str, Reported] = {}) -> list[Chart]:
    """A chart for each family of metrics; training and evaluation are lines of the same chart.

    Args:
      lines: of metrics.jsonl.
      names: what scores call metrics.
      reports: what the method says of the numbers that it logs.
    """
    by_split: dict[str, list[Line]] = {split: [] for split in SPLITS}
    for line in lines:
        by_split.setdefault(line["split"], []).append(line)
    by_split = {split: thinned(found, MOST_POINTS) for split, found in by_split.items()}
    logged = dict.fromkeys(name for found in by_split.values() for line in found for name in line)
    drawn = families(name for name in logged if name not in ("step", "split"))
    return [
        Chart(title_of(family, names, reports, units=True), _series(family, members, by_split))
        for family, members in drawn.items()
    ]


def _series(family: str, members: Sequence[str], by_split: Mapping[str, Sequence[Line]]) -> list[Series]:
    """The lines of a chart: a metric alone has its splits in two colours, several have a colour each."""
    series = []
    for number, name in enumerate(members, start=1):
        for split, lines in by_split.items():
            rows = [(line["step"], line[name]) for line in lines if name in line]
            if not rows:
                continue
            steps, values = zip(*rows, strict=True)
            trains = split == "train"
            member = name.removesuffix(f"_{family}").replace("_", " ")
            series.append(
                Series(
                    name=split if len(members) == 1 else f"{member}, {split}",
                    x=steps,
                    y=values,
                    colour=number if len(members) > 1 or not trains else GREY,
                    line="solid" if trains or len(members) == 1 else "dash",
                    points=not trains or len(rows) == 1,
                )
            )
    return series
