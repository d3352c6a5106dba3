"""Parts of a run that are other runs: looked up, copied into its directory, and known again.

RUN/parts/NAME is a run directory of its own with one checkpoint, so that a run needs no other.
"""

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from gen_jax.config import Config, flag
from gen_jax.errors import ConfigError, GenJaxError, StorageError
from gen_jax.experiment import Experiment
from gen_jax.run.described import Description, described
from gen_jax.run.directory import RunDirectory
from gen_jax.run.setup import wanted_state
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.fingerprint import digest
from gen_jax.training.game import Game
from gen_jax.training.pretrained import Pretrained
from gen_jax.training.sharding import make_mesh
from gen_jax.training.storage import first_line


@dataclass(frozen=True)
class Part:
    """A run that is part of another.

    Attributes:
      source: the directory that it is read from.
      pretrained: its networks.
    """

    source: epath.Path
    pretrained: Pretrained

    def copy(self, target: epath.Path) -> None:
        """Copies its configuration, its own parts and its checkpoint, unless that is where it lies.

        Raises:
          StorageError: the disk does not take it.
        """
        if target.exists():
            return
        temporary = target.with_name(target.name + ".tmp")
        try:
            if temporary.exists():
                temporary.rmtree()
            step = str(self.pretrained.step)
            _copy(self.source / "checkpoints" / step, temporary / "checkpoints" / step)
            if (self.source / "parts").exists():
                _copy(self.source / "parts", temporary / "parts")
            (temporary / "config.json").write_text((self.source / "config.json").read_text())
            temporary.rename(target)
        except (OSError, shutil.Error) as error:
            raise StorageError(f"{target} could not be written: {first_line(error)}") from error

    def as_json(self) -> dict[str, Any]:
        """What a run notes of it."""
        return {"digest": self.pretrained.digest, "experiment": self.pretrained.module, "step": self.pretrained.step}


def _copy(source: epath.Path, target: epath.Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_dir():
            _copy(path, target / path.name)
        else:
            path.copy(target / path.name)


def find_parts(experiment: Experiment, config: Config, directory: RunDirectory) -> dict[str, Part]:
    """The parts of a run that is about to be trained: its own copies, or the runs that its configuration names.

    Raises:
      ConfigError: one is no run, or it is another than the run began with.
    """
    found = {}
    for name in experiment.parts:
        path, copied = getattr(config, name), directory.path / "parts" / name
        if copied.exists():
            found[name] = Part(copied, load_pretrained(copied, path or str(copied)))
            _check_unchanged(name, path, found[name].pretrained)
        elif path is not None:
            try:
                found[name] = Part(epath.Path(path), load_pretrained(path, path))
            except ConfigError as error:
                raise ConfigError(f"{flag(name)} is {path}, which is not a trained run: {error}") from error
    return found


def _check_unchanged(name: str, path: str | None, copy: Pretrained) -> None:
    """Raises ConfigError if what a part was copied from is there, and is another by now."""
    if path is None or not RunDirectory(path).config.exists():
        return
    now = load_pretrained(path, path)
    if now.digest != copy.digest:
        raise ConfigError(
            f"{flag(name)} is {path}, which has changed: this run began with its step {copy.step}, state "
            f"{copy.digest[:12]}, and it is at step {now.step}, state {now.digest[:12]} "
            "(name another --run-dir to begin with that)"
        )


def load_pretrained(path: epath.PathLike, name: str, *, abstract: bool = False) -> Pretrained:
    """The networks of the run in a directory, whole on every device.

    Args:
      path: of the run directory.
      name: what messages call it.
      abstract: whether shapes alone will do.

    Raises:
      ConfigError: it is no run directory, or has no checkpoint.
    """
    description, game = described_run(path, abstract=abstract)
    state, step, found = wanted_state(game, description.info, make_mesh()), 0, ""
    if not abstract:
        step, state = restored(path, description, game)
        found = digest(state)
    return Pretrained(
        name=name,
        module=description.module,
        game=game,
        info=description.info,
        params=jax.tree.map(_held, state.sampling_params),
        variables=jax.tree.map(_held, state.variables),
        step=step,
        digest=found,
    )


def _held(leaf: Any) -> Any:
    return leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jnp.asarray(leaf)


def restored(path: epath.PathLike, description: Description, game: Game) -> tuple[int, Any]:
    """The newest checkpoint of a run, its step first. Raises ConfigError where there is none."""
    checkpoints = Checkpoints(RunDirectory(path).checkpoints, identity=description.identity, create=False)
    try:
        found = checkpoints.restore_newest(wanted_state(game, description.info, make_mesh()))
    finally:
        checkpoints.close()
    if found is None:
        raise ConfigError(f"{path} has no checkpoint yet")
    return found


def described_run(
    path: epath.PathLike, options: Mapping[str, Any] = {}, *, abstract: bool = False
) -> tuple[Description, Game]:
    """What the run in a directory is, and its game, with its parts.

    Args:
      path: of the run directory.
      options: of its configuration that do not change what was learned, to be other than they were.
      abstract: whether of its parts shapes alone will do.

    Raises:
      ConfigError: `path` is no run directory, or one of the options is none that may change.
    """
    description, experiment = described(path, options)
    parts = {}
    for name in description.parts:
        copied = RunDirectory(path).path / "parts" / name
        try:
            parts[name] = load_pretrained(copied, str(copied), abstract=abstract)
        except GenJaxError as error:
            raise ConfigError(f"{path} has lost its part {name}: {error}") from error
    return description, experiment.game(description.config, description.info, parts)


def pretrained_of(parts: Mapping[str, Part]) -> dict[str, Pretrained]:
    """The networks of parts, as `Experiment.game` takes them."""
    return {name: part.pretrained for name, part in parts.items()}


def noted(description: Description, parts: Mapping[str, Part]) -> Description:
    """A description with the digests of its parts."""
    return dataclasses.replace(description, parts={name: part.as_json() for name, part in parts.items()})
