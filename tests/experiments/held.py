"""The experiments that are held to the contract: all files of `experiments/`, their families, and which changed."""

import importlib
import inspect
import os
import pkgutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import copies
import pytest

import experiments
from gen_jax.experiment import Experiment

ROOT = Path(__file__).parents[2]
METHODS = "gen_jax.methods"
UNSAID = "other"
"""The family of an experiment that says none."""
MOST_CHANGED = 8
"""A change of more experiments than this is one of all of them, which `make test-all` trains."""


def found() -> list[str]:
    """The names of all experiments. Where many are asked for, copies of those that are here stand for what will come.

    GEN_JAX_TOY_EXPERIMENTS=60 makes them sixty, in a directory of this process, which is part of the package then.
    """
    here = names()
    wanted = int(os.environ.get("GEN_JAX_TOY_EXPERIMENTS", "0"))
    if wanted > len(here):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "one")
        directory = Path(os.environ["GEN_JAX_TESTS"], f"experiments-{worker}")
        families = {name: family_of(module_of(name)) for name in here}
        experiments.__path__.append(str(copies.write(here, families, wanted - len(here), directory)))
        importlib.invalidate_caches()
    return names()


def names() -> list[str]:
    """The modules of the package, in order: that a file is there is all that it needs to be held to the contract."""
    return sorted({module.name for module in pkgutil.iter_modules(experiments.__path__) if module.name[0] != "_"})


def module_of(name: str) -> ModuleType:
    """The file of an experiment."""
    return importlib.import_module(f"experiments.{name}")


def family_of(module: ModuleType) -> str:
    """What the experiment says, as `EXPERIMENT.family`; else the method of gen_jax that it calls; else its own name."""
    declared = getattr(module.EXPERIMENT, "family", UNSAID)
    if declared != UNSAID:
        return declared
    for value in vars(module).values():
        room, _, method = str(getattr(value, "__module__", "")).rpartition(".")
        if room == METHODS and getattr(value, "__name__", "") == method:
            return method
    return module.__name__.rpartition(".")[2]


def needs_other_runs(experiment: Experiment) -> bool:
    """Whether it is made of other runs, and cannot be without them: such are left to tests of their own."""
    taken = inspect.signature(experiment.build).parameters
    return any(taken[part].default is inspect.Parameter.empty for part in experiment.parts)


def representatives(families: Mapping[str, str]) -> set[str]:
    """One experiment of each family, the first by name; families are by experiment."""
    return {min(name for name in families if families[name] == family) for family in set(families.values())}


def git(*arguments: str) -> list[str] | None:
    """The lines that git answers, or None where it cannot."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None


def beginning() -> str:
    """The commit from which what is being worked on began: where the branch left main; on main, the commit before."""
    head = git("rev-parse", "HEAD")
    for main in ("origin/HEAD", "origin/main", "main"):
        base = git("merge-base", "HEAD", main)
        if base and base != head:
            return base[0]
    return "HEAD^" if git("rev-parse", "--verify", "--quiet", "HEAD^") else "HEAD"


def changed_files() -> list[str]:
    """The files that differ from the beginning, committed or not; none where git is not there."""
    differ = git("diff", "--name-only", "--relative", beginning(), "--", "experiments")
    new = git("ls-files", "--others", "--exclude-standard", "--", "experiments")
    return [*(differ or ()), *(new or ())]


def changed(known: Iterable[str], files: Iterable[str]) -> set[str]:
    """The experiments among those files, unless they are too many for a quick test."""
    stems = {Path(file).stem for file in files if Path(file).parent == Path("experiments")}
    of_known = stems.intersection(known)
    return of_known if len(of_known) <= MOST_CHANGED else set()


NAMES = found()
FAMILIES = {name: family_of(module_of(name)) for name in NAMES}


def parameter(name: str, *more: str, slow: bool = False) -> object:
    """An experiment as the first parameter of tests, which may be for `make test-all` alone."""
    return pytest.param(name, *more, marks=pytest.mark.slow if slow else ())
