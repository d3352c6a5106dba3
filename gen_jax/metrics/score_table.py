"""Scores of several groups side by side: only what was measured alike stands in one column."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from gen_jax.metrics.intervals import Estimate, Interval, paired_difference, t_interval, with_interval
from gen_jax.metrics.score import Score

Measured = Mapping[str, Mapping[int, Sequence[Score]]]
"""{group: {seed: scores}}"""

# How much was drawn, and with what, makes a number more or less certain, and no other number.
DRAW = frozenset({"seed", "evaluators", "answers", "interval"})
# How a run's samples are made belongs to the run: numbers stand in one column, and the column says what differs.
SAMPLING = frozenset({"weights", "sampler", "sampler_steps"})
LONGEST = 24  # characters of what tells columns apart in their names


@dataclass(frozen=True)
class Cell:
    """What a group has in a column.

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
class Column:
    """A metric under one protocol.

    Attributes:
      metric: its name in files.
      name: its name on a page, with what tells it from other columns of the same metric.
      unit: of the values; "" for none.
      better: which direction is better, or None where neither is.
      cells: by group, of those that have it.
    """

    metric: str
    name: str
    unit: str
    better: Literal["larger", "smaller"] | None
    cells: Mapping[str, Cell]

    @property
    def head(self) -> str:
        """The name with the unit, and an arrow for the direction that is better."""
        unit = f" ({self.unit})" if self.unit not in ("", "share") else ""
        return self.name + unit + {"larger": " ↑", "smaller": " ↓", None: ""}[self.better]

    @property
    def protocol(self) -> dict[str, Any]:
        """What all its numbers have in common of how they were measured."""
        scores = [score for cell in self.cells.values() for score in cell.scores.values()]
        return _common(score.protocol for score in scores)

    @property
    def best(self) -> frozenset[str]:
        """The groups of the best mean; none where no direction is better, or where there is nothing to compare."""
        whole = {group: cell.value for group, cell in self.cells.items() if not cell.partial}
        if self.better is None or len(whole) < 2:
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


def score_table(measured: Measured, interval: Interval = t_interval) -> tuple[list[Column], list[str]]:
    """The columns, and in words what must be known to read them: which are not comparable, what is missing.

    Args:
      measured: scores of one data set; those of one group are of runs that differ in nothing but the seed.
      interval: over seeds.
    """
    columns: list[Column] = []
    notes: list[str] = []
    for metric, title in _titles(measured).items():
        protocols = _columns(metric, measured)
        suffixes, incomparable = _suffixes(title, protocols)
        notes += incomparable
        for protocol, suffix in zip(protocols, suffixes, strict=True):
            cells = {}
            name = title + suffix
            for group, runs in measured.items():
                cell, note = _cell(metric, protocol, group, runs, interval)
                notes += [f"{name}: {note}"] if note else []
                if cell is not None:
                    cells[group] = cell
            if cells:
                shown = next(iter(next(iter(cells.values())).scores.values()))
                columns.append(Column(metric, name, shown.unit, shown.better, cells))
                notes += [f"{name}: {note}" for note in _sampling_notes(cells)]
    return columns, notes


def flat(protocol: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields with their names joined by dots: {"features": {"digest": …}} -> {"features.digest": …}."""
    found: dict[str, Any] = {}
    for name, value in protocol.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def _key(protocol: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in protocol.items() if k not in DRAW}, sort_keys=True)


def _part(key: str, *, sampling: bool) -> dict[str, Any]:
    return {k: v for k, v in json.loads(key).items() if (k in SAMPLING) is sampling}


def _titles(measured: Measured) -> dict[str, str]:
    """The metrics, in order, and what each is called; without the brackets in which its names differ."""
    names: dict[str, set[str]] = {}
    for score in (score for runs in measured.values() for scores in runs.values() for score in scores):
        names.setdefault(score.metric, set()).add(score.name)
    return {k: min(found) if len(found) == 1 else min(found).partition(" (")[0] for k, found in names.items()}


def _columns(metric: str, measured: Measured) -> list[frozenset[str]]:
    """Which protocols share a column: those that differ in sampling alone, where each group has but one of them."""
    by_group = [
        dict.fromkeys(_key(score.protocol) for scores in runs.values() for score in scores if score.metric == metric)
        for runs in measured.values()
    ]
    alike: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for keys in by_group for key in keys):
        alike.setdefault(json.dumps(_part(key, sampling=False)), []).append(key)
    columns: list[frozenset[str]] = []
    for keys in alike.values():
        one_each = all(len(found.keys() & keys) <= 1 for found in by_group)
        columns += [frozenset(keys)] if one_each else [frozenset({key}) for key in keys]
    return columns


def _suffixes(name: str, columns: Sequence[frozenset[str]]) -> tuple[list[str], list[str]]:
    """What tells columns of one metric apart in their names, and the notes that say in what they differ."""
    if len(columns) == 1:
        return [""], []
    protocols = [_common(map(json.loads, sorted(keys))) for keys in columns]
    differing = _differing(protocols)
    values = [", ".join(_short(field, p[field]) for field in differing if field in p) for p in protocols]
    if all(0 < len(value) <= LONGEST for value in values) and len(set(values)) == len(values):
        suffixes = [f" ({value})" for value in values]
    else:
        suffixes = [f" [{number}]" for number in range(1, len(columns) + 1)]
    details = "; ".join(f"{field} is {_listed(protocols, suffixes, field, 'in')}" for field in differing)
    return suffixes, [f"{name}: columns{' and'.join(suffixes)} are not comparable: {details}."]


def _short(field: str, value: Any) -> str:
    """A name as it is, "1000 sampler steps" of a number."""
    return value if isinstance(value, str) else f"{value} {field.rpartition('.')[2].replace('_', ' ')}"


def _common(protocols: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields that have the same value in all protocols, flat."""
    first, *others = map(flat, protocols)
    return {k: v for k, v in first.items() if all(k in other and other[k] == v for other in others)}


def _differing(protocols: Sequence[Mapping[str, Any]]) -> list[str]:
    fields = dict.fromkeys(field for protocol in protocols for field in protocol)
    missing = object()
    return [f for f in fields if any(p.get(f, missing) != protocols[0].get(f, missing) for p in protocols)]


def _listed(protocols: Sequence[Mapping[str, Any]], where: Sequence[str], field: str, word: str) -> str:
    """Each value with where it is: "test in [1] and [2], train in [3]"."""
    places: dict[str, list[str]] = {}
    for protocol, place in zip(protocols, where, strict=True):
        places.setdefault(str(protocol.get(field, "not stated")), []).append(place.strip())
    return ", ".join(f"{value} {word} {' and '.join(found)}" for value, found in places.items())


def _sampling_notes(cells: Mapping[str, Cell]) -> Iterator[str]:
    protocols = [flat(cell.sampling) for cell in cells.values()]
    for field in _differing(protocols):
        yield f"{field} differs: {_listed(protocols, list(cells), field, 'of')}."


def _cell(
    metric: str, protocol: frozenset[str], group: str, runs: Mapping[int, Sequence[Score]], interval: Interval
) -> tuple[Cell | None, str]:
    """What a group has under a protocol, at the newest step that all its runs have it at, and what to say of it."""
    by_step = {
        seed: {s.step: s for s in scores if s.metric == metric and _key(s.protocol) in protocol}
        for seed, scores in runs.items()
    }
    by_step = {seed: found for seed, found in by_step.items() if found}
    if not by_step:
        return None, ""
    shared = set.intersection(*(set(found) for found in by_step.values()))
    if not shared:
        return None, f"the runs of {group} have it at different steps, and so not here."
    step, newest = max(shared), max(max(found) for found in by_step.values())
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
    return Cell(scores, len(runs), value, ends, _part(_key(one.protocol), sampling=True), bool(lost)), note
