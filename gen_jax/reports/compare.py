"""Runs side by side: scores with intervals over seeds, paired differences, and curves; as text or as a page."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from etils import epath
from rich.console import Console
from rich.text import Text

from gen_jax.errors import ConfigError, nearest
from gen_jax.metrics.comparison import Section, section
from gen_jax.metrics.intervals import Interval, t_interval
from gen_jax.metrics.titles import HELD_OUT
from gen_jax.reports.groups import grouped
from gen_jax.run.recorded import RecordedRun, recorded_run
from gen_jax.show.terminal import Line, print_notes, print_plot, print_table

PAGES = (".html", ".htm")


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
      sections: one for each data set, for numbers on different data are not comparable.
      metrics: whose curves were asked for, "eval/elbo" or "train/loss"; where none were, each section shows its first.
    """

    sections: Sequence[Section]
    metrics: Sequence[str] = ()

    def tables(self) -> list[tuple[list[str], list[list[str]]]]:
        """The head and the rows of each section's table, as text; an asterisk marks the best of a row."""
        return [(part.head, part.texts) for part in self.sections]

    def print(self, console: Console) -> None:
        """Prints tables, notes, differences and curves, as wide as the console."""
        for part in self.sections:
            console.rule(Text(f"{part.name}: {part.details}", style="bold"), align="left", style="dim")
            console.print()
            print_table(console, part.head, part.texts)
            print_notes(console, part.legend)
            print_notes(console, part.notes)
            console.print()
            head, rows = part.differences
            if rows:
                console.print(Text("Paired differences", style="bold"))
                print_table(console, head, rows)
                print_notes(console, part.differences_legend)
                console.print()
            for metric in self.metrics or part.first_metric:
                curves = {label: curve for label, curve in part.curves.get(metric, {}).items() if curve.steps}
                if curves:
                    lines = [Line(f"{label}: {curve}", curve.steps, curve.mean) for label, curve in curves.items()]
                    print_plot(console, f"{part.title(metric)}, over steps", lines)
                    console.print()

    def write(self, path: epath.PathLike) -> epath.Path:
        """Writes the page, one file that needs no other.

        Raises:
          ConfigError: its name is not that of a page, or it cannot be written there.
        """
        check_page(path)
        from gen_jax.show.compare_page import compare_page
        from gen_jax.show.page import write_page

        try:
            return write_page(path, compare_page(self.sections, self.metrics))
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def check_page(path: epath.PathLike) -> None:
    """Raises ConfigError for a name that is not that of a page."""
    if epath.Path(path).suffix.lower() not in PAGES:
        raise ConfigError(f"{path} is no name of a page; accepted: names that end in {' or '.join(PAGES)}")


def compare(
    paths: Sequence[epath.PathLike], metrics: Sequence[str] = (), interval: Interval = t_interval
) -> Comparison:
    """Puts runs side by side; those that differ in nothing but the seed are one column.

    Args:
      paths: run directories; one that is named twice counts once, which a note says.
      metrics: of which to show curves: names from metrics.jsonl, "elbo", or with the split, "train/elbo"; without it,
        on the split that more groups have. None: the first of each data set.
      interval: over seeds: `t_interval`, `bootstrap_interval`.

    Raises:
      ConfigError: no run, a directory that is none, one without numbers, or a metric that no run has.
      StorageError: what a directory holds cannot be read.
    """
    if not paths:
        raise ConfigError("compare needs at least one run directory, and has none")
    runs = [recorded_run(path) for path in {epath.Path(path).resolve(): path for path in paths}.values()]
    times = Counter(epath.Path(path).resolve() for path in paths)
    by_data: dict[tuple[object, ...], list[RecordedRun]] = {}
    for run in runs:
        by_data.setdefault((run.data.fingerprint, run.data.shape, run.data.class_names), []).append(run)
    names = [alike[0].data.name for alike in by_data.values()]
    sections = []
    for name, alike in zip(names, by_data.values(), strict=True):
        info = alike[0].data
        content = f", fingerprint {info.fingerprint}" if names.count(name) > 1 else ""
        details = f"{info.train_size:,} training and {info.held_out_size:,} held-out examples{content}"
        groups, notes = grouped(alike)
        repeated = {run.path: times[run.path.resolve()] for run in alike}
        notes += [f"{path} was given {n} times, and counts once." for path, n in repeated.items() if n > 1]
        sections.append(section(name, details, groups, interval, notes))
    return Comparison(sections, [found for metric in metrics for found in chosen_metrics(metric, sections)])


def chosen_metrics(name: str, sections: Sequence[Section]) -> list[str]:
    """The metrics that a name stands for; several where it means something else in other experiments.

    Raises:
      ConfigError: no run has it.
    """
    groups = Counter(metric for part in sections for metric, curves in part.curves.items() for _ in curves)
    named = [[m for m in groups if wanted in (m, _plain(m))] for wanted in (name, HELD_OUT + name, f"train/{name}")]
    if any(named):
        # Of equals the first: exactly as named, then on held-out data.
        return max(named, key=lambda found: sum(groups[metric] for metric in found))
    short = list(dict.fromkeys(_plain(metric).partition("/")[2] for metric in groups))
    guess = nearest(name.rpartition("/")[2], short)
    raise ConfigError(f"--metric is {name}{guess}; the runs have: {', '.join(short) or 'no curves'}")


def _plain(metric: str) -> str:
    """Without the brackets that tell it from what has the same name in other experiments."""
    return metric.partition(" (")[0]
