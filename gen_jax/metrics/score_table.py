"""Scores of several groups side by side: only what was measured alike stands in one row."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from gen_jax.metrics.comparable import (
    Measured,
    Protocol,
    Runs,
    made_differently,
    measured_differently,
    measurement,
    protocols_of,
    sampling,
    shared,
)
from gen_jax.metrics.intervals import Estimate, Interval, paired_difference, t_interval, with_interval
from gen_jax.metrics.score import Score

Ways = Mapping[str, Protocol]
"""{group: how its samples were made}"""


@dataclass(frozen=True)
class Cell:
    """What a group has in a row.

    Attributes:
      scores: by seed; all of one step and one protocol, and finite.
      runs: how many runs the group has.
      value: the mean over seeds.
      interval: over seeds where there are several, else the score's own, else None.
      sampling: the protocol's fields of how samples are made.
      partial: whether other runs have numbers that are not finite, so that this is a mean over those that went well.
    """

    scores: Mapping[int, Score]
    runs: int
    value: float
    interval: tuple[float, float] | None
    sampling: Mapping[str, Any]
    partial: bool = False

    @property
    def values(self) -> dict[int, float]:
        """By seed."""
        return {seed: score.value for seed, score in self.scores.items()}

    @property
    def step(self) -> int:
        """Completed training steps of what was measured."""
        return next(iter(self.scores.values())).step

    def __str__(self) -> str:
        count = f" ({len(self.scores)} of {self.runs})" if len(self.scores) < self.runs else ""
        return with_interval(self.value, self.interval) + count


@dataclass(frozen=True)
class Row:
    """A metric under one protocol.

    Attributes:
      metric: its name in files.
      name: its name on a page, with what tells it from other rows of the same metric.
      unit: of the values; "" for none.
      better: which direction is better, or None where neither is.
      cells: by group, of those that have it.
      mark: of the note that says how what was measured was made differently; "" where it was not.
    """

    metric: str
    name: str
    unit: str
    better: Literal["larger", "smaller"] | None
    cells: Mapping[str, Cell]
    mark: str = ""

    @property
    def head(self) -> str:
        """The name with its mark, the unit, and an arrow for the better direction, at which no line breaks."""
        unit = f" ({self.unit})" if self.unit not in ("", "share") else ""
        return self.name + self.mark + unit + {"larger": "\u00a0↑", "smaller": "\u00a0↓", None: ""}[self.better]

    @property
    def protocol(self) -> dict[str, Any]:
        """What all its numbers have in common of how they were measured."""
        scores = [score for cell in self.cells.values() for score in cell.scores.values()]
        return shared(score.protocol for score in scores)

    @property
    def best(self) -> frozenset[str]:
        """The groups of the best mean; none where no direction is better, or where there is nothing to compare."""
        whole = {group: cell.value for group, cell in self.cells.items() if not cell.partial}
        if self.better is None or len(set(whole.values())) < 2:
            return frozenset()
        most = (max if self.better == "larger" else min)(whole.values())
        return frozenset(group for group, value in whole.items() if value == most)

    def text(self, group: str) -> str:
        """What stands in a group's cell, with an asterisk if it is the best."""
        return f"{self.cells[group]}{' *' if group in self.best else ''}" if group in self.cells else "—"

    def differences(self, interval: Interval = t_interval) -> Iterator[tuple[str, str, Estimate]]:
        """(first, second, first - second over the seeds they share) of each two groups that share at least two."""
        for (first, one), (second, other) in combinations(self.cells.items(), 2):
            if len(one.scores.keys() & other.scores.keys()) >= 2:
                yield first, second, paired_difference(one.values, other.values, interval)


def score_table(measured: Measured, interval: Interval = t_interval) -> tuple[list[Row], list[str]]:
    """The rows, and in words what must be known to read them: which are not comparable, what is missing.

    Args:
      measured: scores of one data set; those of one group are of runs that differ in nothing but the seed.
      interval: over seeds.
    """
    rows: list[Row] = []
    ways: list[Ways] = []
    said: dict[str, list[str]] = {}
    for metric, title in _titles(measured).items():
        protocols = protocols_of(metric, measured)
        suffixes, differences = measured_differently(protocols)
        if differences:
            said.setdefault(differences, []).append(title)
        for protocol, suffix in zip(protocols, suffixes, strict=True):
            cells = {}
            for group, runs in measured.items():
                cell, note = _cell(metric, protocol, group, runs, interval)
                if note:
                    said.setdefault(note, []).append(title + suffix)
                if cell is not None:
                    cells[group] = cell
            if cells:
                shown = next(iter(next(iter(cells.values())).scores.values()))
                mark = _marked({group: cell.sampling for group, cell in cells.items()}, ways)
                rows.append(Row(metric, title + suffix, shown.unit, shown.better, cells, mark))
    notes = [f"{_mark(number)} {made_differently(way)}" for number, way in enumerate(ways)]
    return rows, notes + [f"{'; '.join(titles)}: {sentence}" for sentence, titles in said.items()]


def _marked(made: Ways, ways: list[Ways]) -> str:
    """The mark of a row whose groups made their samples in these ways; "" where they made them in one.

    Rows that say the same of the groups they share, and state the same fields, have one mark: `ways` grows by what is
    new.
    """
    if not made_differently(made):
        return ""
    for number, way in enumerate(ways):
        together = {**way, **made}
        agree = all(way[group] == made[group] for group in way.keys() & made.keys())
        if agree and (together == way or len({frozenset(stated) for stated in together.values()}) == 1):
            ways[number] = together
            return _mark(number)
    ways.append(made)
    return _mark(len(ways) - 1)


def _mark(number: int) -> str:
    """†, ‡, §, ¶, and then twice each."""
    return "†‡§¶"[number % 4] * (number // 4 + 1)


def _titles(measured: Measured) -> dict[str, str]:
    """The metrics, in order, and what each is called; without the brackets in which its names differ."""
    names: dict[str, set[str]] = {}
    for score in (score for runs in measured.values() for scores in runs.values() for score in scores):
        names.setdefault(score.metric, set()).add(score.name)
    return {k: min(found) if len(found) == 1 else min(found).partition(" (")[0] for k, found in names.items()}


def _cell(
    metric: str, protocol: Mapping[str, Any], group: str, runs: Runs, interval: Interval
) -> tuple[Cell | None, str]:
    """What a group has under a protocol, at the newest step that all its runs have it at, and what to say of it."""
    by_step = {
        seed: {s.step: s for s in scores if s.metric == metric and measurement(s.protocol) == protocol}
        for seed, scores in runs.items()
    }
    by_step = {seed: found for seed, found in by_step.items() if found}
    if not by_step:
        return None, ""
    common = set.intersection(*(set(found) for found in by_step.values()))
    if not common:
        return None, f"the runs of {group} have it at different steps, and so not here."
    step, newest = max(common), max(max(found) for found in by_step.values())
    note = f"of {group} at step {step}, the newest that all its runs have, not {newest}." if step < newest else ""
    scores = {seed: found[step] for seed, found in by_step.items() if math.isfinite(found[step].value)}
    lost = [seed for seed in by_step if seed not in scores]
    if lost:
        note = f"{note} Not finite for seed {', '.join(map(str, lost))} of {group}.".lstrip()
    if not scores:
        return None, note
    one = next(iter(scores.values()))
    estimate = interval([score.value for score in scores.values()]) if len(scores) > 1 else None
    value = one.value if estimate is None else estimate.value
    ends = one.interval if estimate is None else (estimate.low, estimate.high)
    return Cell(scores, len(runs), value, ends, sampling(one.protocol), bool(lost)), note
