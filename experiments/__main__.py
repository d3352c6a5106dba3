"""All experiments there are: `python -m experiments`, or of one family `python -m experiments adversarial`."""

import argparse
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import experiments
from gen_jax.errors import ConfigError, GenJaxError, nearest
from gen_jax.experiment import Experiment, find
from gen_jax.shell.ending import exit_with

WIDTH = 80


def names() -> list[str]:
    """The experiments that have a file here."""
    return sorted(module.name for module in pkgutil.iter_modules(experiments.__path__) if module.name[0] != "_")


def about(experiment: Experiment) -> tuple[str, str]:
    """Method and paper, of which the docstring's first line says: "Method (Authors, year, arXiv 1312.6114)."."""
    method, _, paper = (experiment.module.__doc__ or "").strip().partition("\n")[0].rstrip(".)").partition(" (")
    number, year = re.search(r"arXiv ([\w.-]+(/\d+)?)", paper), re.search(r"\b(19|20)\d\d\b", paper)
    if number:
        return method, number.group(1)
    # Else the first author and the year.
    author = re.split(r"[ ,&]", paper)[0]
    return method, f"{author} {year.group()}" if year else author


def row(experiment: Experiment) -> tuple[str, ...]:
    """What the table says of an experiment."""
    method, paper = about(experiment)
    minutes = "" if experiment.minutes is None else str(experiment.minutes)
    return experiment.name, experiment.presets["default"].data, minutes, paper, method


def table(family: str | None = None) -> Iterator[str]:
    """The lines to print: families, and below each its experiments.

    Raises:
      ConfigError: there is no such family, or a file defines no experiment.
    """
    families = defaultdict(list)
    for name in names():
        experiment = find({"module": f"experiments.{name}", "file": ""})
        families[experiment.family].append(row(experiment))
    if family is not None and family not in families:
        if family in names():
            raise ConfigError(f"{family} is an experiment and not a family: python -m experiments.{family}")
        raise ConfigError(f"FAMILY is {family}; accepted: {', '.join(sorted(families))}{nearest(family, families)}")
    head = ("NAME", "DATA", "MIN", "PAPER", "METHOD")
    chosen = sorted(families) if family is None else [family]
    rows = [head, *(row for name in chosen for row in families[name])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: tuple[str, ...]) -> str:
        # What is too long for the terminal is the method, which comes last.
        return "  ".join(["", *map(str.ljust, row, widths)])[:WIDTH].rstrip()

    yield line(head)
    for name in chosen:
        yield name
        yield from map(line, families[name])
    yield ""
    yield "python -m experiments.NAME trains one: --preset tiny takes seconds, the default"
    yield "MIN minutes on two CPU cores, --preset paper is as published; --help has all"
    yield "options, and what to expect."


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table; ends the program with 2 where there is no such family."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description="Lists all experiments.")
    parser.add_argument("family", nargs="?", metavar="FAMILY", help="only these, such as adversarial")
    family = parser.parse_args(arguments).family
    try:
        print("\n".join(table(family)))
    except GenJaxError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
