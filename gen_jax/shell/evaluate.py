"""`python -m gen_jax evaluate`: scores of a run, stored with their protocol and printed."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gen_jax.errors import StorageError
from gen_jax.measures import MEASURES, Subject, measure
from gen_jax.measures.protocol import Protocol
from gen_jax.metrics.score import Score, store_scores
from gen_jax.metrics.titles import worded
from gen_jax.run.directory import RunDirectory
from gen_jax.shell.of_run import parse_for_run
from gen_jax.shell.prepared import prepared_run
from gen_jax.show.page import number
from gen_jax.show.scores import provenance
from gen_jax.show.terminal import print_table
from gen_jax.training.distributed import is_leader
from gen_jax.training.storage import first_line


@dataclass(frozen=True)
class EvaluateFlags:
    """Measures a run, and adds the scores, with all that they depend on, to RUN/scores.jsonl.

    The flags depend on the run: `evaluate RUN --help` lists them.
    """

    metrics: str = field(
        default="",
        metadata={"help": f"With commas between: {', '.join(MEASURES)}; or all (default: what takes seconds)."},
    )
    protocol: tyro.conf.OmitArgPrefixes[Protocol] = field(default_factory=Protocol)
    step: int | None = field(default=None, metadata={"help": "Which checkpoint (default: the newest)."})
    data_dir: str | None = field(
        default=None, metadata={"help": "Where its data are, if not where they were during training."}
    )
    json: bool = field(default=False, metadata={"help": "Print a JSON object a score in place of the table."})


def main(arguments: Sequence[str]) -> None:
    """Runs the command; raises as `evaluate`."""
    flags, asked = parse_for_run("evaluate", EvaluateFlags, arguments, conditions=False)
    names = [name.strip() for name in flags.metrics.split(",") if name.strip()]
    protocol = dataclasses.replace(flags.protocol, sampling=asked.options)
    evaluate(asked.run, names, protocol, step=flags.step, data_dir=flags.data_dir, as_json=flags.json)


def evaluate(
    path: str,
    names: Sequence[str],
    protocol: Protocol,
    *,
    step: int | None = None,
    data_dir: str | None = None,
    as_json: bool = False,
) -> None:
    """Measures a run, stores the scores in its directory, and prints them.

    Args:
      path: of the run directory.
      names: of measures; "all"; or none for those that take seconds.
      protocol: how.
      step: of the checkpoint; None: the newest.
      data_dir: where the data are, if not where they were during training.
      as_json: an object a line in place of a table.

    Raises:
      ConfigError, DataError: it cannot be measured like that.
      StorageError: the scores, which are printed all the same, cannot be stored.
    """
    protocol.check()
    run = prepared_run(path, step)
    aside = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=aside,
        transient=True,
        disable=not aside.is_terminal,
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=of, visible=done < of)

        def say(line: str) -> None:
            aside.print(line, highlight=False, markup=False, soft_wrap=True)

        scores = measure(Subject(run, protocol, data_dir=data_dir, say=say, progress=progress), names)
    if not is_leader():
        return
    keep(run.directory, scores, as_json)


def keep(directory: RunDirectory, scores: Sequence[Score], as_json: bool = False) -> None:
    """Prints scores and stores them in a run directory.

    Raises:
      ConfigError: it is none.
      StorageError: they are printed, but cannot be stored.
    """
    directory.read()
    if as_json:
        for score in scores:
            print(json.dumps(score.as_json()))
    else:
        print_scores(Console(file=sys.stdout), scores)
    try:
        store_scores(directory.scores, scores)
    except OSError as error:
        raise StorageError(f"{directory.scores} could not be written: {first_line(error)}") from error


def print_scores(console: Console, scores: Sequence[Score]) -> None:
    """A table of scores, and below it what they depend on, said once for all that have it in common."""
    signs = {"larger": "↑", "smaller": "↓", None: ""}
    rows = []
    for score in scores:
        low_high = "" if score.interval is None else " to ".join(number(end) for end in score.interval)
        # The sign stays with the name's last word.
        rows.append(
            [f"{worded(score)}\u00a0{signs[score.better]}".rstrip(), f"{number(score.value)} {score.unit}", low_high]
        )
    print_table(console, ["score", "value", "95% interval"], rows)
    for term, values in by_term(scores).items():
        said = [f"{words} ({', '.join(names)})" if len(values) > 1 else words for words, names in values.items()]
        console.print(f"{term}: {'; '.join(said)}", highlight=False, markup=False)


def by_term(scores: Sequence[Score]) -> dict[str, dict[str, list[str]]]:
    """{term of the protocols: {its value in words: the metrics that have it}}."""
    found: dict[str, dict[str, list[str]]] = {}
    for score in scores:
        for term, words in provenance(score.protocol):
            found.setdefault(term, {}).setdefault(words, []).append(score.metric)
    return found
