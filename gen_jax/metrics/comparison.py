"""Groups of runs on one data set side by side: a table of scores, and curves."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gen_jax.metrics.comparable import Measured, measurement, ways_of_sampling
from gen_jax.metrics.intervals import Interval, bootstrap_interval, t_interval
from gen_jax.metrics.logged import Reports, reported
from gen_jax.metrics.score import Score
from gen_jax.metrics.score_table import Row, score_table
from gen_jax.metrics.seed_curves import Curve, Logged, seed_curve
from gen_jax.metrics.titles import HELD_OUT, score_names, title_of, worded


@dataclass(frozen=True)
class Member:
    """A run as far as it is compared.

    Attributes:
      name: of its directory.
      seed: it differs from the others of its group in this alone.
      scores: of all steps, in order.
      logged: by metric, "train/loss" or "eval/elbo", what was logged over the steps.
      kinds: by metric, what has to be equal for it to be compared: the experiment of a loss, "256 levels" of an ELBO.
      reports: what its method says of the numbers that it logs.
    """

    name: str
    seed: int
    scores: Sequence[Score]
    logged: Mapping[str, Logged]
    kinds: Mapping[str, str] = field(default_factory=dict)
    reports: Reports = field(default_factory=dict)

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
      labelled: the columns of the table: a group has several where its samples were made in several ways.
      rows: of the table, a metric each.
      notes: what must be known to read it, a sentence each.
      curves: {metric: {label: curve}}; what is not comparable has a metric's name of its own, "train/loss (vae)".
      interval: over seeds.
      names: what scores call metrics.
      reports: what the methods say of the numbers that they log.
    """

    name: str
    details: str
    groups: Sequence[Group]
    labelled: Mapping[str, Group]
    rows: Sequence[Row]
    notes: Sequence[str]
    curves: Mapping[str, Mapping[str, Curve]]
    interval: Interval = t_interval
    names: Mapping[str, str] = field(default_factory=dict)
    reports: Reports = field(default_factory=dict)

    @property
    def has_seeds(self) -> bool:
        """Whether there is a group of several runs."""
        return any(len(group.members) > 1 for group in self.groups)

    @property
    def head(self) -> list[str]:
        """The columns' names: one on the rows, then the groups."""
        return ["", *self.labelled]

    @property
    def texts(self) -> list[list[str]]:
        """The rows in the order of `head`: two on the groups, then the metrics; an asterisk marks the best of a row."""
        return [
            ["seeds", *(str(len(group.members)) for group in self.labelled.values())],
            ["steps", *(group.steps for group in self.labelled.values())],
            *([row.head, *(row.text(label) for label in self.labelled)] for row in self.rows),
        ]

    @property
    def legend(self) -> list[str]:
        """How to read the table."""
        several = any(len(cell.scores) > 1 for row in self.rows for cell in row.cells.values())
        alone = any(cell.interval for row in self.rows for cell in row.cells.values() if len(cell.scores) < 2)
        best = any(row.best for row in self.rows)
        return [
            *(["* is the best mean of its row, whether or not the intervals overlap."] if best else []),
            *([f"Of several seeds: the mean and its 95% {name_of(self.interval)} interval."] if several else []),
            *(["Of one seed: the score with the interval that it comes with, where it has one."] if alone else []),
        ]

    @property
    def differences(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows of a second table: of each metric and each two groups that share two or more seeds.

        Of metrics and pairs, what there is less of are the columns. There are no rows where no groups share two seeds.
        """
        found = [
            (row.head, {f"{one} − {other}": f"{d} ({d.n})" for one, other, d in row.differences(self.interval)})
            for row in self.rows
        ]
        pairs = list(dict.fromkeys(pair for _, cells in found for pair in cells))
        table = [["", *pairs], *([head, *(cells.get(pair, "—") for pair in pairs)] for head, cells in found if cells)]
        head, *rows = map(list, zip(*table, strict=True)) if len(pairs) >= len(table) else table
        return head, rows

    @property
    def differences_legend(self) -> list[str]:
        """How to read the differences."""
        return [
            f"Mean difference between runs of the same seed, its 95% {name_of(self.interval)} interval, and how many"
            " pairs; intervals are not widened for being many."
        ]

    @property
    def first_metric(self) -> list[str]:
        """The curve to show first: what most runs logged; of that on held-out data, of that a likelihood or a loss."""

        def place(metric: str) -> tuple[int, bool, int, bool]:
            runs = sum(len(curve.seeds) for curve in self.curves[metric].values() if curve.steps)
            name = metric.partition(" (")[0].partition("/")[2]
            trains = not metric.startswith(HELD_OUT)
            found = reported(name, self.reports)
            # What is trained on is the loss, also where it is a bound of the likelihood.
            order = ("loss", "likelihood") if trains else ("likelihood", "loss")
            kind = "likelihood" if found.better and found.depends_on == "observed" else name
            return -runs, trains, order.index(kind) if kind in order else len(order), found.better is None

        return sorted(self.curves, key=place)[:1]

    def title(self, metric: str) -> str:
        """What a curve is called: "ELBO, held-out (nats)" of "eval/elbo"."""
        return title_of(metric, self.names, self.reports, units=True)


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
    names = score_names(score for group in groups for member in group.members for score in member.scores)
    reports = {name: one for group in groups for m in group.members for name, one in m.reports.items()}
    for group in groups:
        scored = {
            member.seed: [replace(score, name=worded(score, names, reports)) for score in member.scores]
            for member in group.members
        }
        for way, scores in ways_of_sampling(scored).items():
            label = f"{group.label}, {way}" if way else group.label
            labelled[label], every[label] = group, scores
    curves = _curves(groups, interval)
    drawn = {metric.partition(" (")[0] for metric in curves}
    measured, alone = _worth_a_row(_without_repeated(every), drawn, names, reports)
    rows, found = score_table(measured, interval)
    notes = [*notes, *found, *_older(labelled, rows), *alone]
    return Section(name, details, groups, labelled, rows, notes, curves, interval, names, reports)


def _worth_a_row(
    measured: Measured, drawn: Container[str], names: Mapping[str, str], reports: Reports
) -> tuple[Measured, list[str]]:
    """Leaves out what was logged during training, has no better or worse, and is the same in no two groups.

    There is nothing to compare, and it has a curve.
    """
    meanings: dict[str, dict[str, str]] = {}
    for label, runs in measured.items():
        for score in (score for scores in runs.values() for score in scores):
            if HELD_OUT + score.metric.removeprefix(HELD_OUT) in drawn and score.better is None:
                meanings.setdefault(score.metric, {})[label] = str(measurement(score.protocol))
    alone = [metric for metric, found in meanings.items() if len(set(found.values())) == len(found)]
    if len(measured) == 1 or not alone:
        return measured, []
    said = "; ".join(dict.fromkeys(title_of(metric.removeprefix(HELD_OUT), names, reports) for metric in alone))
    return _without(measured, alone), [f"Not in the table, because no two columns share them: {said}."]


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


def _older(labelled: Mapping[str, Group], rows: Iterable[Row]) -> Iterator[str]:
    """Says of which numbers the runs have gone on training since."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for label, group in labelled.items():
            cell, newest = row.cells.get(label), min(member.step for member in group.members)
            # A row may have the step in its name already.
            if cell is not None and cell.step < newest and f"(step {cell.step})" not in row.name:
                found.setdefault(f"of {label} measured at step {cell.step}, not {newest}.", []).append(row.name)
    yield from (f"{'; '.join(names)}: {sentence}" for sentence, names in found.items())


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
