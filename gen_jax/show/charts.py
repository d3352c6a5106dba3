"""Charts with plotly: what is in them as plain data, drawn and themed in the browser by charts.js."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from gen_jax.show.page import asset

COLOURS = 8  # --series-1 to --series-8 of base.css
Value = int | float | None


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
      name: in the legend and where the pointer rests.
      x, y: as many of each; None, NaN and infinities of y are gaps.
      colour: which of the categories, from 1 on; they repeat after eight.
      line: how it is drawn.
      points: whether its points are marked.
      low, high: a band around it, such as an interval at each x.
    """

    name: str
    x: Sequence[int | float]
    y: Sequence[Value]
    colour: int = 1
    line: Literal["solid", "dash", "dot"] = "solid"
    points: bool = False
    low: Sequence[Value] | None = None
    high: Sequence[Value] | None = None

    @property
    def category(self) -> int:
        """The colour's number in base.css."""
        return (self.colour - 1) % COLOURS + 1

    @property
    def last(self) -> float | None:
        """The last value of y that is a number."""
        return next((y for y in reversed(finite(self.y)) if y is not None), None)


@dataclass(frozen=True)
class Chart:
    """A chart of lines.

    Attributes:
      title: above it.
      series: in the order of the legend.
      x_title: what x is.
      y_title: what y is; "" where the title says it.
      square: whether both axes have the same scale, as in the plane.
    """

    title: str
    series: Sequence[Series]
    x_title: str = "step"
    y_title: str = ""
    square: bool = False

    @property
    def description(self) -> str:
        """What a reader who cannot see it is told."""
        if self.square:
            return f"{self.title}: paths in the plane"
        last = ", ".join(f"{s.name} ends at {s.last:.4g}" for s in self.series if s.last is not None)
        return f"Chart of {self.title} over {self.x_title}" + (f": {last}" if last else "")


def finite(values: Sequence[Value]) -> list[float | None]:
    """The values, None for each that is no number."""
    return [float(v) if v is not None and math.isfinite(v) else None for v in values]


def figure(chart: Chart) -> dict[str, Any]:
    """A plotly figure as JSON holds it: data and layout without colours, which charts.js takes from the page's theme.

    A trace's `meta` is the number of its colour.
    """
    traces = [trace for series in chart.series for trace in (*_band(series), _line(series))]
    if chart.square:
        # Which end of a path is its last.
        for trace in traces:
            sizes = [5] * (len(trace["x"]) - 1) + [11]
            trace["marker"] = {"size": sizes, "opacity": 1, "line": {"width": 0}}
    x_axis: dict[str, Any] = {"title": {"text": chart.x_title}, "hoverformat": ",~f"}
    y_axis: dict[str, Any] = {"title": {"text": chart.y_title}, "hoverformat": ".5~g"}
    if chart.square:
        y_axis |= {"scaleanchor": "x", "scaleratio": 1}
    layout = {"xaxis": x_axis, "yaxis": y_axis, "hovermode": "closest" if chart.square else "x unified"}
    return {"data": traces, "layout": layout}


def _line(series: Series) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": series.name,
        "x": list(series.x),
        "y": finite(series.y),
        "mode": "lines+markers" if series.points else "lines",
        "line": {"dash": series.line, "width": 2},
        "marker": {"size": 5},
        "meta": series.category,
    }


def _band(series: Series) -> list[dict[str, Any]]:
    if series.low is None or series.high is None:
        return []
    edge: dict[str, Any] = {"type": "scatter", "x": list(series.x), "mode": "lines", "line": {"width": 0}}
    edge |= {"name": series.name, "hoverinfo": "skip", "meta": series.category}
    return [edge | {"y": finite(series.low)}, edge | {"y": finite(series.high), "fill": "tonexty"}]


def plotly_script() -> Markup:
    """Plotly and what draws the charts of a page, to be put inside one `<script>` in its head."""
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs() + "\n") + asset("charts.js")
