"""Groups of runs on one data set side by side: a table of scores, and curves."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gen_jax.metrics.comparable import Measured, measurement, ways_of_sampling
from gen_jax.metrics.intervals import Estimate, Interval, bootstrap_interval, t_interval
from gen_jax.metrics.score import Score
from gen_jax.metrics.score_table import Column, score_table
from gen_jax.metrics.seed_curves import Curve, Logged, seed_curve

HELD_OUT = "eval/"
"""How the names of metrics begin that were logged on held-out data."""
LABELS = 3
"""How many columns of a table are not metrics."""


@dataclass(frozen=True)
class Member:
    """A run as far as it is compared.

    Attributes:
      name: of its directory.
      seed: it differs from the others of its group in this alone.
      scores: of all steps, in order.
      logged: by metric, "train/loss" or "eval/elbo", what was logged over the steps.
      kinds: by metric, what has to be equal for it to be compared: the experiment of a loss, "256 levels" of an ELBO.
    """

    name: str
    seed: int
    scores: Sequence[Score]
    logged: Mapping[str, Logged]
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The newest step that anything is known of."""
        return max([step for log in self.logged.values() for step in log] + [score.step for score in self.scores])


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed, by rising seed."""

    label: str
    members: Sequence[Member]

    @property
    def steps(self) -> str:
        """How far they were trained: "5000", or "4000 to 5000"."""
        steps = sorted({member.step for member in self.members})
        return str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"


@dataclass(frozen=True)
class Section:
    """What is compared on one data set.

    Attributes:
      name: of the data.
      details: what else there is to say of the data.
      groups: of runs.
      labelled: the rows of the table: a group has several where its samples were made in several ways.
      columns: of the table.
      notes: what must be known to read it, a sentence each.
      curves: {metric: {label: curve}}; what is not comparable has a metric's name of its own, "train/loss (vae)".
      interval: over seeds.
    """

    name: str
    details: str
    groups: Sequence[Group]
    labelled: Mapping[str, Group]
    columns: Sequence[Column]
    notes: Sequence[str]
    curves: Mapping[str, Mapping[str, Curve]]
    interval: Interval = t_interval

    @property
    def has_seeds(self) -> bool:
        """Whether there is a group of several runs."""
        return any(len(group.members) > 1 for group in self.groups)

    @property
    def head(self) -> list[str]:
        """The columns' names: two on the group, then the metrics."""
        return ["", "seeds", "steps", *(column.head for column in self.columns)]

    @property
    def rows(self) -> list[list[str]]:
        """A row for each group, in the order of `head`; an asterisk marks the best of a column."""
        return [
            [label, str(len(group.members)), group.steps, *(column.text(label) for column in self.columns)]
            for label, group in self.labelled.items()
        ]

    @property
    def legend(self) -> list[str]:
        """How to read the table."""
        several = any(len(cell.scores) > 1 for column in self.columns for cell in column.cells.values())
        alone = any(cell.interval for column in self.columns for cell in column.cells.values() if len(cell.scores) < 2)
        return [
            *(
                ["* is the best mean of its column, whether or not the intervals overlap."]
                if any(column.best for column in self.columns)
                else []
            ),
            *([f"Of several seeds: the mean and its 95% {name_of(self.interval)} interval."] if several else []),
            *(["Of one seed: the score with the interval that it comes with, where it has one."] if alone else []),
        ]

    @property
    def differences(self) -> dict[tuple[str, str], dict[str, Estimate]]:
        """{(first, second): {column's head: first - second}} of each two groups that share two or more seeds."""
        found: dict[tuple[str, str], dict[str, Estimate]] = {}
        for column in self.columns:
            for first, second, estimate in column.differences(self.interval):
                found.setdefault((first, second), {})[column.head] = estimate
        return found

    @property
    def differences_head(self) -> list[str]:
        """The names of the columns in which there are differences, after one on the groups."""
        found = self.differences.values()
        return ["", *(name for name in self.head[LABELS:] if any(name in cells for cells in found))]

    @property
    def differences_rows(self) -> list[list[str]]:
        """A row for each two groups, in the order of `differences_head`."""
        names = self.differences_head[1:]
        return [
            [f"{first} − {second}", *(f"{cells[name]} ({cells[name].n})" if name in cells else "" for name in names)]
            for (first, second), cells in self.differences.items()
        ]

    @property
    def differences_legend(self) -> list[str]:
        """How to read the differences."""
        return [
            f"Mean difference between runs of the same seed, its 95% {name_of(self.interval)} interval, and how many"
            " pairs; intervals are not widened for being many."
        ]

    @property
    def first_metric(self) -> list[str]:
        """The curve to show first: of those on held-out data what most groups have, else a loss, else what there is."""
        directed = {column.metric for column in self.columns if column.better}
        held_out = [metric for metric in self.curves if metric.startswith(HELD_OUT)]
        losses = [metric for metric in self.curves if metric.startswith("train/loss")]
        best_first = sorted(held_out, key=lambda metric: (-len(self.curves[metric]), metric not in directed))
        return [*best_first, *losses, *self.curves][:1]


def title_of(metric: str) -> str:
    """What a curve is called: "elbo, held-out" of "eval/elbo"."""
    split, _, name = metric.partition("/")
    return f"{name}, {'held-out' if split + '/' == HELD_OUT else 'training' if split == 'train' else split}"


def name_of(interval: Interval) -> str:
    """What kind of interval it is, in words."""
    names = {t_interval: "Student t", bootstrap_interval: "bootstrap"}
    return names.get(interval, getattr(interval, "__name__", "")).removesuffix("_interval")


def section(
    name: str, details: str, groups: Sequence[Group], interval: Interval = t_interval, notes: Sequence[str] = ()
) -> Section:
    """Compares groups of one data set.

    Args:
      name: of the data.
      details: what else there is to say of the data.
      groups: whose labels differ.
      interval: over seeds.
      notes: what else must be known of the groups.
    """
    labelled, every = {}, {}
    for group in groups:
        for way, scores in ways_of_sampling({member.seed: member.scores for member in group.members}).items():
            label = f"{group.label}, {way}" if way else group.label
            labelled[label], every[label] = group, scores
    measured, alone = _worth_a_column(_without_repeated(every))
    columns, found = score_table(measured, interval)
    notes = [*notes, *found, *_older(labelled, columns), *alone]
    return Section(name, details, groups, labelled, columns, notes, _curves(groups, interval), interval)


def _worth_a_column(measured: Measured) -> tuple[Measured, list[str]]:
    """Leaves out what was logged during training, has no better or worse, and is the same in no two groups.

    There is nothing to compare, and it has a curve.
    """
    meanings: dict[str, dict[str, str]] = {}
    for label, runs in measured.items():
        for score in (score for scores in runs.values() for score in scores):
            if score.metric.startswith(HELD_OUT) and score.better is None:
                meanings.setdefault(score.metric, {})[label] = str(measurement(score.protocol))
    alone = [metric for metric, found in meanings.items() if len(set(found.values())) == len(found)]
    if len(measured) == 1 or not alone:
        return measured, []
    names = ", ".join(metric.removeprefix(HELD_OUT) for metric in alone)
    return _without(measured, alone), [f"Not in the table, because no two rows share them: {names}."]


def _without_repeated(measured: Measured) -> Measured:
    """Leaves out what was logged during training where every group that has it has a score of that name as well."""
    names = [{score.metric for scores in runs.values() for score in scores} for runs in measured.values()]
    logged = {name for found in names for name in found if name.startswith(HELD_OUT)}
    repeated = {
        name for name in logged if all(name.removeprefix(HELD_OUT) in found for found in names if name in found)
    }
    return _without(measured, repeated)


def _without(measured: Measured, metrics: Container[str]) -> Measured:
    return {
        label: {seed: [score for score in scores if score.metric not in metrics] for seed, scores in runs.items()}
        for label, runs in measured.items()
    }


def _older(labelled: Mapping[str, Group], columns: Iterable[Column]) -> Iterator[str]:
    """Says of which numbers the runs have gone on training since."""
    for column in columns:
        for label, group in labelled.items():
            cell, newest = column.cells.get(label), min(member.step for member in group.members)
            if cell is not None and cell.step < newest:
                yield f"{column.name}: of {label} measured at step {cell.step}, not {newest}."


def _curves(groups: Sequence[Group], interval: Interval) -> dict[str, dict[str, Curve]]:
    found: dict[str, dict[str, Curve]] = {}
    for metric in dict.fromkeys(name for group in groups for member in group.members for name in member.logged):
        having = {g.label: [m for m in g.members if metric in m.logged] for g in groups}
        having = {label: members for label, members in having.items() if members}
        kinds = {members[0].kinds.get(metric, "") for members in having.values()}
        for label, members in having.items():
            name = metric if len(kinds) == 1 else f"{metric} ({members[0].kinds.get(metric, '')})"
            curve = seed_curve({member.seed: member.logged[metric] for member in members}, interval=interval)
            found.setdefault(name, {})[label] = curve
    return found
