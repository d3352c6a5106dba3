"""`python -m gen_jax preflight EXPERIMENT --topology v5e:16x16 [flags of the experiment]`."""

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gen_jax.errors import ConfigError, nearest
from gen_jax.experiment import Experiment, find, parse

DOES_NOT_FIT = 1
"""The exit code where a device has too little memory."""

PROGRAMS = ("train", "sample", "evaluate")


@dataclass(frozen=True)
class Options:
    """Compiles a run's real programs for devices that are not here, and says what they would need there.

    Nothing runs, no data are read, and no accelerator is needed. All flags of the experiment apply; --help of the
    experiment itself lists them. Exits with 1 where a device has too little memory, after settings that would fit.
    """

    experiment: Annotated[str, tyro.conf.Positional]
    """Its name, the name of its module, or its file: ddpm, experiments.ddpm, path/to/ddpm.py."""
    topology: str = "host"
    """Of a TPU pod, such as v5e:16x16, or host for the devices at hand; several with commas between."""
    slices: int = 1
    """How many of them, connected by the data-centre network."""
    programs: str = ",".join(PROGRAMS)
    """Which to compile, with commas between."""
    advice: bool = True
    """Where it does not fit, look for settings that would, which takes a compilation for each."""
    json: bool = False
    """Print a JSON object a topology in place of the table."""


def find_experiment(name: str) -> Experiment:
    """The experiment of a name, a module or a file.

    Raises:
      ConfigError: there is none.
    """
    if name.endswith(".py"):
        path = Path(name).resolve()
        if not path.is_file():
            raise ConfigError(f"EXPERIMENT is {name}; accepted: a file that is there")
        return find({"module": path.stem, "file": str(path)})
    module = name if "." in name else f"experiments.{name}"
    if not is_module(module):
        raise ConfigError(
            f"EXPERIMENT is {name}; accepted: {', '.join(known_experiments())}, the name of a module, or a file that "
            f"ends in .py{nearest(name, known_experiments())}"
        )
    return find({"module": module, "file": ""})


def is_module(name: str) -> bool:
    """Whether there is a module of that name to import."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def known_experiments() -> list[str]:
    """The names of the modules in the package `experiments`, if it is there."""
    spec = importlib.util.find_spec("experiments")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    return sorted(path.stem for place in places for path in Path(place).glob("*.py") if not path.stem.startswith("_"))


def split_flags(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """The command's own flags, and those that are left for the experiment."""
    options, rest = tyro.cli(
        Options, prog="python -m gen_jax preflight", args=list(arguments), return_unknown_args=True
    )
    return options, rest


def main(arguments: Sequence[str]) -> None:
    """Runs the command; ends the program with 1 where something does not fit.

    Raises:
      ConfigError: the request cannot be carried out.
      DataError: of a folder that cannot be read.
    """
    options, rest = split_flags(arguments)
    programs = [name.strip() for name in options.programs.split(",") if name.strip()]
    for name in programs or [options.programs]:
        if name not in PROGRAMS:
            raise ConfigError(f"--programs is {name}; accepted: {', '.join(PROGRAMS)}{nearest(name, PROGRAMS)}")
    from gen_jax.preflight.topology import HOST, parse_topology

    topologies = [parse_topology(name.strip(), options.slices) for name in options.topology.split(",")]
    experiment = find_experiment(options.experiment)
    config = parse(experiment, rest)
    experiment.check(config)
    import jax

    if all(topology.name != HOST for topology in topologies):
        # To compile for a TPU needs no device of any kind; looking for one could wait for it.
        jax.config.update("jax_platforms", "cpu")
    from gen_jax.preflight.advice import advise
    from gen_jax.preflight.data import described
    from gen_jax.preflight.report import preflight
    from gen_jax.preflight.table import print_preflight

    dataset = described(config)
    fits = True
    for topology in topologies:
        with progress(f"{experiment.name} for {topology.name}") as announce:
            found = preflight(experiment, config, topology, programs, dataset=dataset, announce=announce)
            advice = None
            if not found.fits and options.advice:
                advice = advise(experiment, found, dataset, announce)
        fits = fits and found.fits
        if options.json:
            stored = found.as_json()
            stored["would_fit"] = [{"flags": one.flags, "memory": one.memory} for one in advice or ()]
            print(json.dumps(stored))
        else:
            print_preflight(Console(), found, advice)
    if not fits:
        sys.exit(DOES_NOT_FIT)


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """A line that says what is being compiled and for how long; on a terminal it moves and then goes away."""
    console = Console(stderr=True)
    if not console.is_terminal:
        start = time.perf_counter()

        def announce(title: str) -> None:
            print(f"[{time.perf_counter() - start:5.0f} s] compiling {what}: {title}", file=sys.stderr, flush=True)

        yield announce
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"describing {what}", total=None)
        yield lambda title: bar.reset(task, description=f"compiling {what}: {title}")
