"""An experiment: a paper as a command line."""

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

import tyro
from rich.console import Console

from gen_jax.config import Config
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError, GenJaxError, Preempted
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


def exit_with(error: GenJaxError) -> NoReturn:
    """Parts from other processes and ends the program, with the error's one line and exit code."""
    from gen_jax.training import distributed

    Console(stderr=True).print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    distributed.leave(error.exit_code)
    sys.exit(error.exit_code)


@contextlib.contextmanager
def nothing_to_save() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the program as if it had been preempted, until training listens to them itself."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Preempted("preempted outside of training; the same command starts or continues it")

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        # Python drops what is raised while it frees objects, in finalizers and callbacks of the garbage collector; so
        # the signal comes once more, when that is over.
        if isinstance(what.exc_value, Preempted):
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            ignored_before(what)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    from gen_jax.training.distributed import joined

    # A program that has joined other processes by itself leaves SIGTERM to JAX.
    numbers = (signal.SIGINT,) if joined() else (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, stop) for number in numbers}
    ignored_before, sys.unraisablehook = sys.unraisablehook, ignored
    try:
        yield
    finally:
        sys.unraisablehook = ignored_before
        for number, handler in handlers.items():
            signal.signal(number, handler)


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> None:
    """The entry point of `python -m experiments.NAME`: trains, or continues, what the command line describes."""
    with nothing_to_save():
        run(experiment, arguments)


def run(experiment: Experiment, arguments: Sequence[str] | None) -> None:
    """What `main` does; ends the program unless all went well."""
    from gen_jax.training import distributed

    try:
        config = parse(experiment, arguments)
        config.check()
        distributed.initialize(config.distributed)
        distributed.split_the_cpu(config.cpu_devices, required=config.reproducible)
        # What follows imports everything; `--help` and a mistyped flag need not wait for it.
        from gen_jax.compilation_cache import keep_compiled_programs
        from gen_jax.trainer import train_run

        keep_compiled_programs()
        train_run(experiment, config)
        distributed.leave(0)
    except Preempted as error:
        if distributed.is_leader():
            print(error, flush=True)
        distributed.leave(error.exit_code)
        sys.exit(error.exit_code)
    except GenJaxError as error:
        exit_with(error)
    except SystemExit:
        raise
    except BaseException:
        if distributed.joined():
            traceback.print_exc()
            distributed.leave(1)
        raise
