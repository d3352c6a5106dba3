"""gen_jax against PyTorch on this machine: the same networks, batches, optimizers and precision, in turn.

    python -m benchmarks.speed
    python -m benchmarks.speed --workloads dcgan,ddpm_small --pairs 7 --precision float32
    python -m benchmarks.speed growth
    python -m benchmarks.speed table runs/speed/RUN.json

Needs PyTorch: pip install 'gen_jax[bench]'. Nothing else should run meanwhile. The tables are printed, stored as JSON
and written into docs/performance.md; `growth` times gen_jax alone against batch, image, width and data set; `table`
makes the tables of a stored run again.
"""

import datetime
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from benchmarks.speed.options import DOCS, NAMES, PUBLIC, STARTUP, Options
from benchmarks.speed.workloads import chosen
from gen_jax.errors import ConfigError, GenJaxError
from gen_jax.shell.ending import exit_with

if TYPE_CHECKING:
    from benchmarks.speed.results import Results


@dataclass(frozen=True)
class TableOptions:
    """A stored run."""

    results: Annotated[Path, tyro.conf.Positional]
    """What --out named."""
    docs: Path | None = DOCS
    """The file whose tables are to be written anew."""


def check(options: Options) -> list[str]:
    """The names of what is to be measured. Raises ConfigError for options that cannot be carried out."""
    names = chosen(options.workloads, NAMES)
    for flag, value, low in (("--pairs", options.pairs, 1), ("--threads", options.threads, 1)):
        if value is not None and value < low:
            raise ConfigError(f"{flag} is {value}; accepted: a number of at least {low}")
    if not options.seconds > 0:
        raise ConfigError(f"--seconds is {options.seconds}; accepted: a number above 0")
    needed = ["torch"] * (names != [STARTUP]) + [name for name in names if name in PUBLIC]
    for package in needed:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"{package} is not installed; pip install 'gen_jax[bench]'")
    return names


def show(results: "Results", docs: Path | None, console: Console) -> None:
    """Prints the tables, and writes them into the docs."""
    from benchmarks.speed import tables

    shown = list(tables.tables(results))
    tables.print_tables(console, shown)
    if docs is not None:
        text = tables.markdown(shown, tables.machine_lines(results))
        tables.write_section(docs, f"speed on {results.device}, {results.precision}", text)
        console.print(f"written into {docs}", highlight=False)


def run(arguments: Sequence[str]) -> None:
    """What the command line asks for."""
    console = Console()
    prog = "python -m benchmarks.speed"
    command = shlex.join([*prog.split(), *arguments])
    if arguments[:1] == ["growth"]:
        from benchmarks.speed import growth

        wanted = tyro.cli(growth.Options, args=arguments[1:], prog=f"{prog} growth", description=growth.__doc__)
        growth.main(wanted, command)
        return
    if arguments[:1] == ["table"]:
        from benchmarks.speed.results import Results

        stored = tyro.cli(TableOptions, args=arguments[1:], prog=f"{prog} table", description=TableOptions.__doc__)
        if not stored.results.is_file():
            raise ConfigError(f"there is no file {stored.results}; accepted: what --out named")
        show(Results.read(stored.results), stored.docs, console)
        return
    description = f"{__doc__}\nWorkloads: {', '.join(NAMES)}."
    options = tyro.cli(Options, args=arguments, prog=prog, description=description)
    names = check(options)
    from benchmarks.speed.results import Results
    from benchmarks.speed.session import measure

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    out = options.out or Path("runs/speed", f"{datetime.datetime.now():%Y%m%d-%H%M%S}.json")
    earlier = Results.read(out) if out.is_file() else None
    for found in measure(options, names, command, say):
        results = earlier.and_then(found) if earlier else found
        results.write(out)
    show(results, None if options.quick and options.docs == DOCS else options.docs, console)
    console.print(f"results  {out}", highlight=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point; ends with 2 where the request cannot be carried out."""
    try:
        run(sys.argv[1:] if arguments is None else list(arguments))
    except GenJaxError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
