"""Results as tables: rows of text, printed by rich at 80 columns or written as markdown between two markers."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.speed.measuring import Pairs
from benchmarks.speed.results import Comparison, Cost, PublicJob, Results
from gen_jax.show.terminal import print_table

NONE = "-"


@dataclass(frozen=True)
class Shown:
    """A table.

    Attributes:
      title: above it.
      head: names of columns.
      rows: texts; the first of each tells the rows apart.
      notes: sentences below it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def tables(results: Results) -> Iterator[Shown]:
    """All that there is something to show in."""
    if results.comparisons or results.failed:
        yield speed(results)
    if results.comparisons:
        yield memory(results.comparisons)
        yield compiling(results.comparisons)
        yield ways(results.comparisons)
    if results.jobs:
        yield trainers(results.jobs)
    if results.started:
        yield startup(results)


def speed(results: Results) -> Shown:
    """Examples a second of both, and their ratio."""
    head = ["workload", "gen_jax, images/s", "PyTorch, images/s", "ratio", "spread", "PyTorch's best", "parameters"]
    utilised = bool(results.ceiling) and any(one.flops for one in results.comparisons)
    if utilised:
        head += ["gen_jax, of ceiling", "PyTorch, of ceiling"]
    rows = []
    for one in results.comparisons:
        row = [one.title, rate(one.examples, one.ours), rate(one.examples, one.theirs)]
        row += [times(one.pairs.ratio), spread(one.pairs), one.mode, f"{one.parameters:,}"]
        if utilised:
            row += [share(one, one.ours, results), share(one, one.theirs, results)]
        rows.append(row)
    notes = [f"{name} was not measured: {why}" for name, why in results.failed.items()]
    notes += ["Ratio: PyTorch's time over gen_jax's, the median of pairs of turns; above 1 gen_jax is faster."]
    if len(results.comparisons) > 1:
        ratios = [one.pairs.ratio for one in results.comparisons]
        notes.append(
            f"Of these {len(ratios)} workloads gen_jax is as fast or faster in {sum(r >= 1 for r in ratios)}; the "
            f"median ratio is {times(statistics.median(ratios))}, the least {times(min(ratios))}."
        )
    if results.ceiling:
        measured = ", ".join(f"{side} {rate:.3g} FLOP/s" for side, rate in results.ceiling.items())
        notes.append(
            f"Ceiling: a product of large matrices in the same run ({measured}); shares are of the larger. Of a step "
            "matrix products and convolutions are counted, as eager PyTorch dispatches them."
        )
    return Shown(f"Speed, {results.precision}", head, rows, notes)


def memory(comparisons: Sequence[Comparison]) -> Shown:
    """Peaks while stepping, and of the whole process."""
    head = ["workload", "gen_jax, stepping", "PyTorch, stepping", "ratio", "gen_jax, process", "PyTorch, process"]
    rows = []
    for one in comparisons:
        peaks = [megabytes(one.ours.stepping), megabytes(one.theirs.stepping)]
        peaks.append(times(one.ours.stepping / one.theirs.stepping))
        rows.append([one.title, *peaks, megabytes(one.ours.process), megabytes(one.theirs.process)])
    notes = [
        "Ratio: gen_jax's peak over that of PyTorch's best mode; below 1 gen_jax needs less. Stepping: in a process "
        "that finds everything compiled; process: all of one that compiles."
    ]
    return Shown("Peak memory, MB", head, rows, notes)


def compiling(comparisons: Sequence[Comparison]) -> Shown:
    """Time to the first step."""
    head = ["workload", "gen_jax, cold", "gen_jax, cached", "PyTorch, cold", "PyTorch, cached"]
    rows = [
        [one.title, *[seconds(t) for t in (one.ours.first, one.ours.again, one.theirs.first, one.theirs.again)]]
        for one in comparisons
    ]
    notes = [
        "From the order to the end of the first step, without imports; cached: in a second process, which finds what "
        "the first compiled."
    ]
    return Shown("Time to the first step, seconds", head, rows, notes)


def ways(comparisons: Sequence[Comparison]) -> Shown:
    """Every mode of PyTorch."""
    head = ["workload", "mode", "ms a step", "peak MB", "first step, s", "apart from eager"]
    rows, reasons = [], []
    for one in comparisons:
        for tried in one.tried:
            if tried.reason:
                reasons.append(f"{one.title}, {tried.mode}: {tried.reason}")
            apart = NONE if tried.disagreement is None else f"{tried.disagreement:.0e}"
            if tried.cost is None:
                rows.append([one.title, tried.mode, "not supported", NONE, NONE, apart])
                continue
            found = [f"{1e3 * tried.cost.step:,.2f}", megabytes(tried.cost.stepping), seconds(tried.cost.first)]
            rows.append([one.title, tried.mode, *found, apart])
    notes = [
        *reasons,
        "Each was tried by itself, shortly; the best was then run in turn with gen_jax. Apart from eager: the norm of "
        "the difference of the gradients, as a share of theirs, on the same random numbers.",
    ]
    return Shown("PyTorch's modes", head, rows, notes)


def trainers(jobs: Sequence[PublicJob]) -> Shown:
    """Public trainers, from the shell to the end."""
    head = ["trainer", "job", "parameters, gen_jax / trainer", "gen_jax, images/s", "trainer, images/s", "ratio"]
    head += ["spread", "gen_jax, whole command", "trainer, whole command", "ratio "]
    rows = []
    for job in jobs:
        ours, theirs = (1 / statistics.median(t) for t in (job.training.ours, job.training.theirs))
        row = [job.name, job.title, f"{job.our_parameters:,} / {job.their_parameters:,}"]
        row += [per_second(ours), per_second(theirs), times(job.training.ratio), spread(job.training)]
        row += [f"{statistics.median(t):.1f} s" for t in (job.command.ours, job.command.theirs)]
        rows.append([*row, times(job.command.ratio)])
    notes = [
        "Images a second of training with data loading, without imports and compilation; the whole command has all of "
        "it, decoding and the evaluation at gen_jax's end too."
    ]
    return Shown("Public trainers, end to end", head, rows, notes)


def startup(results: Results) -> Shown:
    """Command lines."""
    head = ["command", "until", "cold, s", "warm, s"]
    rows = [
        [f"python -m {one.command}", what, f"{one.cold[what]:.2f}", f"{one.warm[what]:.2f}"]
        for one in results.started
        for what in one.cold
    ]
    notes = ["From the start of Python. Warm: the same command once more, with the caches that the first has filled."]
    return Shown("From the shell to the first step and the first samples", head, rows, notes)


def rate(examples: int, cost: Cost) -> str:
    """Images a second."""
    return per_second(examples / cost.step)


def per_second(rate: float) -> str:
    """With digits behind the point where there are few before it."""
    return f"{rate:,.0f}" if rate > 10 else f"{rate:.2f}"


def times(ratio: float) -> str:
    """A ratio."""
    return f"{ratio:.2f}x"


def spread(pairs: Pairs) -> str:
    """Between which most ratios lie."""
    return "{:.2f}-{:.2f}".format(*pairs.spread)


def share(one: Comparison, cost: Cost, results: Results) -> str:
    """How much of the ceiling a step's matrix products and convolutions reach."""
    return f"{one.flops / cost.step / max(results.ceiling.values()):.0%}" if one.flops else NONE


def megabytes(count: int) -> str:
    """Bytes in 10^6."""
    return f"{count / 1e6:,.0f}"


def seconds(duration: float | None) -> str:
    """Seconds, or nothing."""
    return NONE if duration is None else f"{duration:.1f}"


def print_tables(console: Console, shown: Sequence[Shown]) -> None:
    """On a terminal."""
    for table in shown:
        console.print(table.title, style="bold", highlight=False)
        print_table(console, table.head, table.rows)
        for note in table.notes:
            console.print(note, highlight=False)
        console.print()


def machine_lines(results: Results) -> list[str]:
    """What it was measured on and how, as markdown."""
    lines = [f"- {what}: {value}" for what, value in results.machine.items()]
    return [*lines, *[f"- command: `{command}`" for command in results.commands]]


def markdown(shown: Sequence[Shown], above: Sequence[str] = ()) -> str:
    """Tables as markdown, with lines above them."""
    parts = ["\n".join(above)] if above else []
    for table in shown:
        rows = [table.head, ["---", *["---:"] * (len(table.head) - 1)], *table.rows]
        body = "\n".join("| " + " | ".join(cell.strip().replace("|", "\\|") for cell in row) + " |" for row in rows)
        parts += [f"### {table.title}", body, *table.notes]
    return "\n\n".join(parts)


def write_section(path: Path, name: str, text: str) -> None:
    """Puts text between two markers of a file, and leaves all else; where there are none they go at the end.

    Args:
      path: of a markdown file; it need not exist.
      name: of the section.
      text: what is to stand there.
    """
    begin, end = (f"<!-- {name}: {what} of what `python -m benchmarks.speed` writes -->" for what in ("begin", "end"))
    before = path.read_text() if path.exists() else ""
    if begin in before and end in before:
        head, _, rest = before.partition(begin)
        tail = rest.partition(end)[2]
    else:
        head, tail = f"{before.rstrip()}\n\n" if before.strip() else "", "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")
