"""An experiment: a paper as a command line."""

import argparse
import dataclasses
import functools
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

from gen_jax.config import Config, flag, sampling_fields, shown
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError, nearest
from gen_jax.training.game import Game

# What the preset "tiny" of every experiment begins with: seconds, for tests and for a first look.
TINY: Mapping[str, Any] = {
    "report": False,
    "steps": 6,
    "batch_size": 8,
    "grid_samples": 16,
    "log_every": 2,
    "eval_every": 3,
    "save_every": 3,
}


@dataclass(frozen=True)
class Experiment:
    """How a configuration and a data set make a game.

    A module defines its experiment as `EXPERIMENT`, so that a run directory can find it again. A variant is one too:
    `dataclasses.replace(EXPERIMENT, build=...)`, in a module of its own.

    Attributes:
      build: (config, what there is to know of the data) -> Game. Raises ConfigError for what cannot be built.
      config: the class of its configurations. Its defaults are the preset "default", which finishes within minutes on
        a laptop from embedded data.
      family: of methods, such as "adversarial".
      minutes: that the default takes at most, or about, on two CPU cores; None: not known.
      tiny: how the preset "tiny" differs from the default, beyond TINY; None: there is none.
      paper: how the preset "paper", which is as published, differs from the default; None: there is none.
      others: how further presets differ from the default, by name.
      parts: fields of the configuration that hold the directory of another run, each a keyword of `build` too.

    Raises:
      ConfigError: a preset has a field that the configuration lacks, or a value that it does not accept.
    """

    build: Callable[..., Game]
    config: type[Config]
    family: str = "other"
    minutes: int | float | None = None
    tiny: Mapping[str, Any] | None = None
    paper: Mapping[str, Any] | None = None
    others: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.config, type):
            raise ConfigError(
                f"{self.build.__module__}: an Experiment takes the class of its configuration, whose defaults are the "
                f"default preset, and of other presets what differs: tiny={{...}}, paper={{...}}"
            )
        for preset, config in self.presets.items():
            try:
                self.check(config)
            except ConfigError as error:
                raise ConfigError(f"{self._preset(preset)} {error}") from error

    @functools.cached_property
    def presets(self) -> Mapping[str, Config]:
        """The configurations by name: "default", "tiny" and "paper" where there are such, and the others."""
        tiny = {} if self.tiny is None else {"tiny": {**TINY, **self.tiny}}
        paper = {} if self.paper is None else {"paper": self.paper}
        differences: dict[str, Mapping[str, Any]] = {"default": {}, **tiny, **paper, **self.others}
        known = [field.name for field in dataclasses.fields(self.config)]
        found = {}
        for preset, changes in differences.items():
            for name in changes:
                if name not in known:
                    raise ConfigError(f"{self._preset(preset)} there is no option {name}{nearest(name, known)}")
            found[preset] = self.config(**{"preset": preset, **changes})
        return found

    def game(self, config: Config, data: DataInfo, parts: Mapping[str, Any] = {}) -> Game:
        """The game of a configuration on such data.

        Args:
          config: the configuration.
          data: what there is to know of the data.
          parts: {name: gen_jax.training.pretrained.Pretrained}.

        Raises:
          ConfigError: a part is missing, the data have streams that the method does not take, or `build` refuses.
        """
        taken = inspect.signature(self.build).parameters
        for name in self.parts:
            if name not in parts and taken[name].default is inspect.Parameter.empty:
                raise ConfigError(
                    f"{flag(name)} is missing; accepted: the directory of a run that {self.name} is made of"
                )
        game = self.build(config, data, **parts)
        unwanted = data.streams.keys() - set(game.streams)
        if unwanted:
            found, takes = ", ".join(sorted(unwanted)), ", ".join(("x", *game.streams))
            raise ConfigError(f"--data is {data.name}, which has a stream {found} beside x; {self.name} takes {takes}")
        named = {"sampler", "sampling_steps"}
        options = {name: getattr(config, name) for name in sampling_fields(self.config) if name not in named}
        return dataclasses.replace(game, sampling=game.sampling._replace(options={**game.sampling.options, **options}))

    def _preset(self, name: str) -> str:
        return f"{self.build.__module__}, preset {name}:"

    def preset_of(self, config: Config) -> Config:
        """The configuration that the options of another start from: the default, where its preset is no more."""
        return self.presets.get(config.preset, self.presets["default"])

    def check(self, config: Config) -> None:
        """Raises ConfigError for a value out of range, and for one that was chosen and that nothing would use.

        What its preset has is not chosen.
        """
        config.check()
        start = self.preset_of(config)
        for name, why in config.unused().items():
            if getattr(config, name) != getattr(start, name):
                raise ConfigError(f"{flag(name)} is {shown(getattr(config, name))}; {why}")

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
        raise ConfigError(f"the experiment {file or name} cannot be loaded: {error}") from error


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
        default=default,
    )


def __getattr__(name: str) -> Any:
    """`main`, which was here before it moved to the command lines: files that users have written import it."""
    if name == "main":
        return importlib.import_module("gen_jax.shell.train").main
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
