"""The step that made a number which is not finite: what the training leaves of it, and taking it again."""

import json
import math
import shlex
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from gen_jax.data.batches import batch_of_stack
from gen_jax.errors import ConfigError, StorageError
from gen_jax.run.devices import cpu_parts_here, mesh_for
from gen_jax.run.parts import described_run
from gen_jax.run.setup import Setup
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.distributed import is_leader
from gen_jax.training.nonfinite import Culprit, take_one
from gen_jax.training.reduction import SHARDS
from gen_jax.training.sharding import make_mesh
from gen_jax.training.step_directories import together
from gen_jax.training.storage import first_line


def write_bundle(
    path: epath.Path,
    culprit: Culprit,
    batches: Sequence[Mapping[str, np.ndarray]],
    identity: Mapping[str, Any],
    devices: int,
) -> str:
    """Writes report.json, batches.npz (x_0, index_0, … of each batch that the step drew) and the state before the step.

    An entry is what stands before the last underscore: index_photos_0 is "index_photos" of the first batch.

    Every process calls it.

    Args:
      path: RUN/nonfinite/STEP.
      culprit: the step.
      batches: what it drew, as stored.
      identity: of the run's checkpoints.
      devices: on how many it was taken.

    Returns:
      The command that takes the step again.

    Raises:
      StorageError: the disk does not take it.
    """
    command = f"python -m gen_jax replay {shlex.quote(str(path))}"
    report: dict[str, Any] = {
        "step": culprit.step,
        "last_good_step": culprit.step - 1,
        "devices": devices,
        "leaves": culprit.leaves,
        "metrics": {name: value if math.isfinite(value) else str(value) for name, value in culprit.metrics.items()},
        "reproduce": command,
    }

    def write() -> None:
        if not is_leader():
            return
        arrays = {f"{name}_{n}": value for n, batch in enumerate(batches) for name, value in batch.items()}
        try:
            path.mkdir(parents=True, exist_ok=True)
            with (path / "batches.npz").open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
            (path / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        except OSError as error:
            raise StorageError(f"{path} could not be written: {first_line(error)}") from error

    together(write)
    checkpoints = Checkpoints(path / "checkpoints", identity=identity)
    checkpoints.save(culprit.step - 1, culprit.before)
    checkpoints.wait()
    checkpoints.close()
    return command


class GivenBatches:
    """The batches of one step, as `write_bundle` stored them: a source for that step alone."""

    same_feed = False

    def __init__(self, file: epath.Path, draws: int):
        """Reads them.

        Raises:
          ConfigError: the file is not there, or not as it was written.
        """
        try:
            with file.open("rb") as opened, np.load(opened) as arrays:
                names = sorted({name.rpartition("_")[0] for name in arrays.files})
                missing = [draw for draw in range(draws) if f"x_{draw}" not in arrays]
                if not missing:
                    parts = {name: [arrays[f"{name}_{draw}"] for draw in range(draws)] for name in names}
                    self._stacked = {name: jnp.asarray(np.stack(rows)) for name, rows in parts.items()}
                    self.size = self._stacked["index"].shape[1]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise ConfigError(f"{file} does not hold the batches of a step: {first_line(error)}") from error
        if missing:
            raise ConfigError(f"{file} does not hold the batches of a step: there is no x_{missing[0]}")

    def feed(self, step: int) -> dict[str, jax.Array]:
        """All batches, stacked."""
        return self._stacked

    def batch(self, feed: dict[str, jax.Array], step: Any, draw: Any) -> dict[str, jax.Array]:
        """One of the batches."""
        return batch_of_stack(feed, draw)

    def close(self) -> None:
        """Nothing to let go of."""


def replay(path: epath.PathLike) -> dict[str, Any]:
    """What is not finite after the step, by name, and its metrics.

    Args:
      path: RUN/nonfinite/STEP, within the directory of its run.

    Raises:
      ConfigError: it is no such bundle, or it is damaged; or the step was taken in parts, for which there are too few
        devices.
    """
    bundle = epath.Path(path).resolve()
    step, devices = read_report(bundle)
    description, game = described_run(bundle.parent.parent)
    config = description.config
    source = GivenBatches(bundle / "batches.npz", game.draws)
    cpu_parts = cpu_parts_here(config, description.cpu_parts)
    if 1 < cpu_parts == devices:
        mesh = mesh_for(config, cpu_parts)
    else:
        cpu_parts, mesh = 1, make_mesh(devices_for(source.size // config.accumulate, config.reproducible, devices))
    checkpoints = Checkpoints(bundle / "checkpoints", create=False)
    setup = Setup(config, description.info, game, mesh, cpu_parts=cpu_parts)
    state = checkpoints.restore(step - 1, setup.wanted)
    program = setup.program(source)
    _, culprit = take_one(program, state, step - 1)
    return {"step": step, "not_finite": culprit.names, "metrics": {k: str(v) for k, v in culprit.metrics.items()}}


def read_report(bundle: epath.Path) -> tuple[int, int]:
    """The number of the step, counted from 1, and of the devices that took it.

    Raises:
      ConfigError: there is no report, or a damaged one.
    """
    file = bundle / "report.json"
    if not file.exists():
        raise ConfigError(f"{bundle} is no bundle of a step: it has no report.json")
    try:
        report = json.loads(file.read_text())
        step, devices = report["step"], report["devices"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is not the report of a step: {first_line(error)}") from error
    if not isinstance(step, int) or step < 1:
        raise ConfigError(f"{file} is not the report of a step: step is {step!r}")
    if not isinstance(devices, int) or devices < 1:
        raise ConfigError(f"{file} is not the report of a step: devices is {devices!r}")
    return step, devices


def devices_for(batch_size: int, reproducible: bool, taken_on: int) -> list[jax.Device]:
    """As many devices as took the step, or where there are fewer, as can share the batch."""
    devices = jax.devices()
    shared = batch_size if not reproducible else math.gcd(batch_size, SHARDS)
    if taken_on <= len(devices) and shared % taken_on == 0:
        return devices[:taken_on]
    return devices[: max(n for n in range(1, len(devices) + 1) if shared % n == 0)]
