"""An experiment: a paper as a command line."""

import argparse
import dataclasses
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import tyro

from gen_jax.config import Config
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.training.game import Game


@dataclass(frozen=True)
class Experiment:
    """How a configuration and a data set make a game.

    A module defines its experiment as `EXPERIMENT`, so that a run directory can find it again.

    Attributes:
      build: (config, what there is to know of the data) -> Game. Raises ConfigError for what cannot be built.
      presets: configurations by name, all of one class: "default" finishes within minutes on a laptop from embedded
        data, "tiny" in seconds, "paper" is as published; there may be more.
    """

    build: Callable[[Any, DataInfo], Game]
    presets: Mapping[str, Config]

    @property
    def module(self) -> ModuleType:
        """The module that defines the experiment."""
        return sys.modules[self.build.__module__]

    @property
    def identity(self) -> dict[str, str]:
        """What `find` needs: the module's name, and its file where it was run as a script."""
        spec = self.module.__spec__
        file = "" if spec is not None else str(Path(inspect.getfile(self.module)).resolve())
        return {"module": Path(file).stem if spec is None else spec.name, "file": file}

    @property
    def command(self) -> str:
        """How it is run from the shell."""
        module, file = self.identity["module"], self.identity["file"]
        return f"python {file}" if file else f"python -m {module}"

    @property
    def name(self) -> str:
        """The last part of the module's name."""
        return self.identity["module"].rpartition(".")[2]


def find(identity: Mapping[str, str]) -> Experiment:
    """The experiment of a stored identity.

    Raises:
      ConfigError: there is no such module, or it defines no `EXPERIMENT`.
    """
    name, file = identity["module"], identity["file"]
    try:
        if not file:
            return importlib.import_module(name).EXPERIMENT
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ImportError("it is not Python")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        return sys.modules[name].EXPERIMENT
    except (ImportError, OSError, AttributeError) as error:
        raise ConfigError(f"the run's experiment {file or name} cannot be loaded: {error}") from error


def parse(experiment: Experiment, arguments: Sequence[str] | None = None) -> Config:
    """The configuration that a command line asks for; exits with 2 on flags or values that cannot be read.

    The preset is read first, since it is what the other options default to.
    """
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--preset", default="default")
    preset = peek.parse_known_args(arguments)[0].preset
    default = experiment.presets.get(preset)
    if default is None:
        raise ConfigError(f"--preset is {preset}; accepted: {', '.join(experiment.presets)}")
    return tyro.cli(
        type(default),
        prog=experiment.command,
        description=inspect.cleandoc(experiment.module.__doc__ or ""),
        args=arguments,
        default=dataclasses.replace(default, preset=preset),
    )


def __getattr__(name: str) -> Any:
    """`main`, which was here before it moved to the command lines: files that users have written import it."""
    if name == "main":
        return importlib.import_module("gen_jax.shell.train").main
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
