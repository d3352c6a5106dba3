"""The page of a run, from plain data: what was trained, how it went, what it makes, and how good that is."""

import dataclasses
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from gen_jax.metrics.logged import Reports
from gen_jax.metrics.score import Score
from gen_jax.metrics.titles import score_names
from gen_jax.show.charts import Chart, figure, plotly_script
from gen_jax.show.curves import Line, curves
from gen_jax.show.page import render
from gen_jax.show.pictures import Picture
from gen_jax.show.scores import by_step

ARXIV = re.compile(r"arXiv[: ](\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Option:
    """A field of the configuration.

    Attributes:
      flag: as it is typed.
      value: as it is typed.
      preset: what it would be without the flag.
    """

    flag: str
    value: str
    preset: str


@dataclass(frozen=True)
class Grid:
    """The samples of a step, the same latents each time."""

    step: int
    picture: Picture


@dataclass(frozen=True)
class Illustration:
    """A picture of what the method does: pixels for images, a chart of paths for points.

    Attributes:
      title: above it.
      caption: what its rows and columns are.
      shown: the picture itself.
    """

    title: str
    caption: str
    shown: Picture | Chart

    @property
    def is_chart(self) -> bool:
        """Whether it is drawn by the browser."""
        return isinstance(self.shown, Chart)


@dataclass(frozen=True)
class Neighbour:
    """A training image and its distance from a sample."""

    picture: Picture
    distance: float


@dataclass(frozen=True)
class Neighbours:
    """Samples, each with the training images that are nearest to it, nearest first.

    Attributes:
      rows: of a sample and its neighbours.
      searched: how many training examples were looked at.
      of: how many there are.
      step: of the samples.
      usual: the median distance of held-out images from their nearest training image, to compare with.
    """

    rows: Sequence[tuple[Picture, Sequence[Neighbour]]]
    searched: int
    of: int
    step: int
    usual: float


@dataclass(frozen=True)
class Report:
    """What the page of a run shows.

    Attributes:
      name: of the experiment and the data: "vae on mnist".
      summary: one line about the method.
      about: the experiment's description, as it is written.
      facts: terms and what they are.
      command: which repeats the run.
      evaluate: the command that measures it.
      options: of the configuration, in order.
      metrics: the lines of metrics.jsonl.
      grids: sample grids, oldest first; at least one.
      illustrations: pictures of what the method does.
      neighbours: the nearest training images, where they were looked for.
      missing: sentences: what is not shown, and why.
      scores: as they were stored.
      reports: what the method says of the numbers that it logs.
      grids_are_drawings: whether they are scatter plots on white rather than images.
    """

    name: str
    summary: str
    about: str
    facts: Mapping[str, str]
    command: str
    evaluate: str
    options: Sequence[Option]
    metrics: Sequence[Line]
    grids: Sequence[Grid]
    illustrations: Sequence[Illustration] = ()
    neighbours: Neighbours | None = None
    missing: Sequence[str] = ()
    scores: Sequence[Score] = ()
    reports: Reports = field(default_factory=dict)
    grids_are_drawings: bool = False


def linked(text: str) -> Markup:
    """Text in which arXiv numbers lead to the papers."""
    return Markup(ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv \1</a>', str(escape(text))))


def paragraphs(text: str) -> list[tuple[bool, str]]:
    """The paragraphs of a docstring, and whether each is code, which is indented; the lines of others flow."""
    found = [part.strip("\n") for part in re.split(r"\n\s*\n", text) if part.strip()]
    return [
        (True, textwrap.dedent(part)) if part.startswith("    ") else (False, " ".join(part.split())) for part in found
    ]


def report_page(report: Report) -> str:
    """The page as HTML."""
    charts = curves(report.metrics, score_names(report.scores), report.reports)
    has_chart = charts or any(illustration.is_chart for illustration in report.illustrations)
    return render(
        "report.html",
        report=report,
        linked=linked,
        paragraphs=paragraphs(report.about),
        charts=charts,
        figure=figure,
        plotly=plotly_script() if has_chart else "",
        scores=by_step(report.scores),
        slides=[dataclasses.asdict(grid) for grid in report.grids],
    )
