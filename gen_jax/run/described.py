"""What a run is: experiment, configuration and data, as its directory has them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etils import epath

from gen_jax.config import Config, as_json, flag, free_fields, from_json, sampling_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.experiment import Experiment, find
from gen_jax.run.directory import RunDirectory


@dataclass(frozen=True)
class Description:
    """What a run is: what it needs to go on, or to be looked at.

    Attributes:
      module: name of the experiment's module.
      config: its configuration.
      info: what it learns from.
      parts: by name, the digest and the origin of other runs that are parts of it.
      cpu_parts: in which a CPU computes its batches, as the host decided when it began.
    """

    module: str
    config: Config
    info: DataInfo
    parts: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    cpu_parts: int = 1

    @property
    def identity(self) -> dict[str, Any]:
        """What the run learns, as JSON: what each of its checkpoints must have in common with it."""
        free = free_fields(type(self.config))
        learned = {name: value for name, value in as_json(self.config).items() if name not in free}
        parts = {name: part["digest"] for name, part in self.parts.items()}
        found = {"experiment": self.module, "config": learned, "data": self.info.as_json()}
        return {**found, "parts": parts} if parts else found


def described(path: epath.PathLike, options: Mapping[str, Any] = {}) -> tuple[Description, Experiment]:
    """What the run in a directory is, and its experiment.

    Args:
      path: of the run directory.
      options: of its configuration that do not change what was learned, to be other than they were.

    Raises:
      ConfigError: `path` is no run directory, or one of the options is none that may change.
    """
    stored = RunDirectory(path).read()
    experiment, module = find(stored["experiment"]), stored["experiment"]["module"]
    config = from_json(experiment.config, stored["config"])
    for name in options:
        if name not in free_fields(experiment.config):
            able = ", ".join(map(flag, sampling_fields(experiment.config))) or "none"
            raise ConfigError(f"{flag(name)} does not apply to {module}; options of its sampling: {able}")
    config = dataclasses.replace(config, **options)
    experiment.check(config)
    info = DataInfo.from_json(stored["data"])
    return Description(module, config, info, stored["parts"], stored["host"]["cpu_parts"]), experiment
