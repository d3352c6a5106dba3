"""What a run is: experiment, configuration and data, as its directory has them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etils import epath

from gen_jax.config import Config, as_json, flag, free_fields, from_json
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.experiment import find
from gen_jax.run.directory import RunDirectory
from gen_jax.training.game import Game


@dataclass(frozen=True)
class Description:
    """What a run is: what it needs to go on, or to be looked at.

    Attributes:
      module: name of the experiment's module.
      config: its configuration.
      info: what it learns from.
      cpu_parts: in which a CPU computes its batches, as the host decided when it began.
    """

    module: str
    config: Config
    info: DataInfo
    cpu_parts: int = 1

    @property
    def identity(self) -> dict[str, Any]:
        """What the run learns, as JSON: what each of its checkpoints must have in common with it."""
        free = free_fields(type(self.config))
        learned = {name: value for name, value in as_json(self.config).items() if name not in free}
        return {"experiment": self.module, "config": learned, "data": self.info.as_json()}


def described_run(path: epath.PathLike, options: Mapping[str, Any] = {}) -> tuple[Description, Game]:
    """What the run in a directory is, and its game.

    Args:
      path: of the run directory.
      options: of its configuration that do not change what was learned, to be other than they were.

    Raises:
      ConfigError: `path` is no run directory, or one of the options is none that may change.
    """
    stored = RunDirectory(path).read()
    experiment = find(stored["experiment"])
    config = from_json(type(experiment.presets["default"]), stored["config"])
    for name in options:
        if name not in free_fields(type(config)):
            raise ConfigError(f"{flag(name)} does not apply to {stored['experiment']['module']}")
    config = dataclasses.replace(config, **options)
    config.check()
    info = DataInfo.from_json(stored["data"])
    description = Description(stored["experiment"]["module"], config, info, stored["host"]["cpu_parts"])
    return description, experiment.build(config, info)
