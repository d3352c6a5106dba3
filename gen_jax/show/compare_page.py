"""The page of a comparison: tables, and curves of all runs with a choice of the metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gen_jax.metrics.comparison import Section
from gen_jax.metrics.intervals import with_interval
from gen_jax.metrics.seed_curves import Curve, thinned
from gen_jax.show.charts import COLOURS, Chart, Series, figure, plotly_script
from gen_jax.show.page import render
from gen_jax.show.scores import provenance

STYLES: tuple[Literal["solid", "dash", "dot"], ...] = ("solid", "dash", "dot")
POINTS = 400  # of a line of one seed


@dataclass(frozen=True)
class Choice:
    """A metric whose curves can be chosen.

    Attributes:
      title: in the list.
      chart: the means, with bands.
      figure: for plotly: the same with a thin line for each seed.
      ends: where each curve ends, in words.
    """

    title: str
    chart: Chart
    figure: dict[str, Any]
    ends: Sequence[str]


def compare_page(sections: Sequence[Section], metrics: Sequence[str] = ()) -> str:
    """The page as HTML.

    Args:
      sections: one for each data set.
      metrics: the first of them that a section has is shown first.
    """
    choices = [[choice(metric, part.curves[metric], part) for metric in _in_order(part, metrics)] for part in sections]
    runs = sum(len(group.members) for part in sections for group in part.groups)
    configurations = sum(len(part.groups) for part in sections)
    return render(
        "compare.html",
        sections=list(zip(sections, choices, strict=True)),
        summary=f"{_counted(runs, 'run')} of {_counted(configurations, 'configuration')}, "
        f"on {', '.join(part.name for part in sections)}.",
        colours=[[part.groups.index(group) % COLOURS + 1 for group in part.labelled.values()] for part in sections],
        protocols=[protocols(part) for part in sections],
        plotly=plotly_script(),
    )


def protocols(part: Section) -> list[tuple[list[str], list[tuple[str, str]]]]:
    """(rows, what all their numbers depend on, term and value), said once for rows that depend on the same."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for row in part.rows:
        found.setdefault(tuple(provenance(row.protocol)), []).append(row.head)
    return [(heads, list(terms)) for terms, heads in found.items()]


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n > 1 else ''}"


def _in_order(part: Section, metrics: Sequence[str]) -> list[str]:
    """The metrics of a section, the one to be shown first in front."""
    drawn = [metric for metric, curves in part.curves.items() if any(curve.steps for curve in curves.values())]
    return [m for m in dict.fromkeys([*metrics, *part.first_metric, *drawn]) if m in drawn]


def choice(metric: str, curves: Mapping[str, Curve], part: Section) -> Choice:
    """The chart of one metric. A group has the same colour in all charts."""
    numbers = {group.label: number for number, group in enumerate(part.groups)}
    drawn = {label: curve for label, curve in curves.items() if curve.steps}
    series = [mean(label, curve, numbers[label]) for label, curve in drawn.items()]
    chart = Chart(part.title(metric), series)
    made = figure(chart)
    for trace in made["data"]:
        if trace.get("hoverinfo") != "skip":
            trace |= {"text": texts(drawn[trace["name"]]), "hovertemplate": "%{text}"}
    made["data"] = [thin for label, curve in drawn.items() for thin in seeds(label, curve, numbers[label])] + made[
        "data"
    ]
    return Choice(chart.title, chart, made, [str(curve) for curve in drawn.values()])


def mean(label: str, curve: Curve, number: int) -> Series:
    """The line of a group, with the interval over its seeds as a band."""
    return Series(
        label,
        curve.steps,
        curve.mean,
        colour=number + 1,
        line=STYLES[number // COLOURS % len(STYLES)],
        points=len(curve.steps) == 1,
        low=curve.low or None,
        high=curve.high or None,
    )


def texts(curve: Curve) -> list[str]:
    """What the pointer reads at each step."""
    ends = zip(curve.low, curve.high, strict=True) if curve.low else [None] * len(curve.steps)
    return [with_interval(value, pair).replace("-", "−") for value, pair in zip(curve.mean, ends, strict=True)]


def seeds(label: str, curve: Curve, number: int) -> list[dict[str, Any]]:
    """A thin line for each of several seeds."""
    if len(curve.seeds) < 2:
        return []
    lines = []
    for seed, log in curve.seeds.items():
        steps = thinned(sorted(log), POINTS)
        thin = figure(Chart("", [Series(f"{label}, seed {seed}", steps, [log[s] for s in steps], colour=number + 1)]))
        (trace,) = thin["data"]
        lines.append(trace | {"line": {"width": 1}, "opacity": 0.45, "hoverinfo": "skip"})
    return lines
