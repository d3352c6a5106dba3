"""The directory that holds everything of a run, and what makes a directory one."""

import contextlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from gen_jax.config import Config, as_json, flag, free_fields, from_json, shown
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "gen_jax")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def default_run_dir(experiment: str, data: str) -> str:
    """runs/EXPERIMENT-DATA, for `folder:PATH` with the last part of the path."""
    kind, _, path = data.partition(":")
    return f"runs/{experiment}-{kind}" + (f"-{epath.Path(path).name}" if path else "")


class RunDirectory:
    """Paths within a run directory (local or `gs://`)."""

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path)
        self.config = self.path / "config.json"
        self.checkpoints = self.path / "checkpoints"

    def samples(self, step: int) -> epath.Path:
        """Where the sample grid of a step is."""
        return self.path / "samples" / f"{step:08}.png"

    @property
    def scores(self) -> epath.Path:
        """Where the scores are that `evaluate` has found, one a line."""
        return self.path / "scores.jsonl"

    @property
    def report(self) -> epath.Path:
        """Where the page is that shows the run."""
        return self.path / "report.html"

    @property
    def skipped(self) -> epath.Path:
        """Where the steps are that a run leaves out: a list of numbers, if there are any."""
        return self.path / "skipped.json"

    def bundle(self, step: int) -> epath.Path:
        """Where everything is that reproduces the step that made a number which is not finite."""
        return self.path / "nonfinite" / str(step)

    def read_skipped(self) -> frozenset[int]:
        """The steps to leave out.

        Raises:
          ConfigError: the file is not a list of numbers.
        """
        if not self.skipped.exists():
            return frozenset()
        try:
            steps = json.loads(self.skipped.read_text())
        except ValueError as error:
            raise ConfigError(f"{self.skipped} is not a list of steps: {error}") from error
        if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
            raise ConfigError(f"{self.skipped} is not a list of steps: {shown(steps)}")
        return frozenset(steps)

    def write_skipped(self, steps: frozenset[int]) -> None:
        """Replaces the list at once."""
        temporary = self.skipped.with_name(self.skipped.name + ".tmp")
        temporary.write_text(json.dumps(sorted(steps)) + "\n")
        temporary.replace(self.skipped)

    @contextlib.contextmanager
    def lock(self, patience: float = 10.0) -> Iterator[None]:
        """Keeps another training out of a local directory, for as long as this process lives.

        Raises:
          ConfigError: another process still trains here after `patience` seconds; one that was just killed may need
            a moment to be gone. Or the directory cannot be made.
        """
        if "://" in str(self.path) or sys.platform == "win32":
            yield
            return
        import fcntl

        with self._writable():
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDONLY)
        try:
            deadline = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ConfigError(f"--run-dir {self.path} is in use by another training") from None
                    time.sleep(0.1)
                except OSError:
                    # A file system without locks.
                    break
            yield
        finally:
            os.close(handle)

    def read(self) -> dict[str, Any]:
        """What config.json holds: `experiment`, `config`, `data`, `versions`, `host`, and `parts`, other runs.

        Raises:
          ConfigError: this is no run directory.
        """
        if not self.path.exists():
            raise ConfigError(f"{self.path} does not exist; a run directory was wanted")
        if not self.config.exists():
            raise ConfigError(f"{self.path} is not a run directory: it has no config.json")
        try:
            stored = json.loads(self.config.read_text())
            config = dict(stored["config"])
            # What the host decides was once a field of the configuration.
            cpu_parts = config.pop("cpu_parts", 1)
            if "host" in stored:
                cpu_parts = stored["host"]["cpu_parts"]
            if not isinstance(cpu_parts, int) or cpu_parts < 1:
                raise ValueError(f"cpu_parts is {cpu_parts!r}")
            return {
                "experiment": {key: stored["experiment"][key] for key in ("module", "file")},
                "config": config,
                "data": DataInfo.from_json(stored["data"]).as_json(),
                "versions": dict(stored["versions"]),
                "parts": dict(stored.get("parts", {})),
                "host": {"cpu_parts": cpu_parts},
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self.config} is not the configuration of a run: {error!r}") from error

    def host(self) -> dict[str, Any] | None:
        """What the host decided when the run began; None where none has begun.

        Raises:
          ConfigError: config.json is not the configuration of a run.
        """
        return self.read()["host"] if self.config.exists() else None

    def claim(self) -> None:
        """Makes sure that the directory is a run's, or free for one, and can be written to. Creates nothing.

        Raises:
          ConfigError: it is a file, holds something else, or is not writable.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"--run-dir {self.path} is a file, not a directory")
        # A kill while config.json was written leaves its temporary file, which is the run's own.
        foreign = self.path.exists() and any(path.suffix != ".tmp" for path in self.path.iterdir())
        if foreign and not self.config.exists():
            raise ConfigError(f"--run-dir {self.path} is not a run directory: it holds files but no config.json")
        if "://" not in str(self.path):
            nearest = next(path for path in (self.path, *self.path.parents) if path.exists())
            if not nearest.is_dir():
                raise ConfigError(f"--run-dir {self.path} cannot be created: {nearest} is a file")
            if not os.access(nearest, os.W_OK | os.X_OK):
                raise ConfigError(f"--run-dir {self.path} is not writable: no permission to write in {nearest}")

    def check_same(self, experiment: str, config: Config, data: dict[str, Any] | None = None) -> None:
        """Raises ConfigError if the directory holds another run, naming each field that differs with both values."""
        if not self.config.exists():
            return
        stored = self.read()
        differing = []
        if stored["experiment"]["module"] != experiment:
            differing.append(f"the experiment is {stored['experiment']['module']} there and {experiment} here")
        mine, free = as_json(config), free_fields(type(config))
        # What an older version did not know yet was at its default.
        known = as_json(from_json(type(config), stored["config"])) | stored["config"]
        for name in sorted(mine.keys() | known.keys()):
            there, here = known.get(name), mine.get(name)
            if name not in free and there != here:
                differing.append(f"{flag(name)} is {shown(there)} there and {shown(here)} here")
        for name in sorted(data or {}):
            there, here = stored["data"].get(name), (data or {})[name]
            if there != here:
                differing.append(f"the data's {name} is {shown(there)} there and {shown(here)} here")
        if differing:
            raise ConfigError(
                f"{self.path} holds a run of another configuration: {'; '.join(differing)}"
                " (name another --run-dir, or repeat the options of the run to continue it)"
            )

    def record(
        self,
        experiment: dict[str, str],
        config: Config,
        data: dict[str, Any],
        host: dict[str, Any] | None = None,
        parts: Mapping[str, Any] = {},
    ) -> None:
        """Writes config.json at once, in the directory, which is made where there is none.

        Args:
          experiment: its identity.
          config: the configuration.
          data: what it learns from.
          host: what the machine has decided and a continued run keeps: `cpu_parts`; None: one part.

        Raises:
          ConfigError: the directory cannot be written to.
        """
        stored = {
            "experiment": experiment,
            "config": as_json(config),
            "data": data,
            "versions": versions(),
            "host": host or {"cpu_parts": 1},
        }
        if parts:
            stored["parts"] = dict(parts)
        temporary = self.config.with_name(self.config.name + ".tmp")
        with self._writable():
            self.path.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(stored, indent=2) + "\n")
            temporary.replace(self.config)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        """Raises ConfigError if what is done meanwhile is not permitted, or not possible."""
        try:
            yield
        except OSError as error:
            raise ConfigError(f"--run-dir {self.path} is not writable: {error.strerror or error}") from error
