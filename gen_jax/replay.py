"""The step that made a number which is not finite: what the training leaves of it, and taking it again."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from gen_jax.errors import ConfigError
from gen_jax.run import described_run, wanted_state
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.distributed import is_leader
from gen_jax.training.game import Batch
from gen_jax.training.nonfinite import Culprit, take_one
from gen_jax.training.program import Program
from gen_jax.training.sharding import make_mesh


def write_bundle(path: epath.Path, culprit: Culprit, batches: Sequence[Batch], identity: Mapping[str, Any]) -> str:
    """Writes report.json, batches.npz (x_0, index_0, … of each batch that the step drew) and the state before the step.

    Every process calls it.

    Args:
      path: RUN/nonfinite/STEP.
      culprit: the step.
      batches: what it drew, as stored.
      identity: of the run's checkpoints.

    Returns:
      The command that takes the step again.

    Raises:
      OSError, StorageError: the disk does not take it.
    """
    command = f"python -m gen_jax replay {shlex.quote(str(path))}"
    report: dict[str, Any] = {
        "step": culprit.step,
        "last_good_step": culprit.step - 1,
        "leaves": culprit.leaves,
        "metrics": {name: value if math.isfinite(value) else str(value) for name, value in culprit.metrics.items()},
        "reproduce": command,
    }
    if is_leader():
        path.mkdir(parents=True, exist_ok=True)
        arrays = {f"{name}_{n}": np.asarray(value) for n, batch in enumerate(batches) for name, value in batch.items()}
        with (path / "batches.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        (path / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    checkpoints = Checkpoints(path / "checkpoints", identity=identity)
    checkpoints.save(culprit.step - 1, culprit.before)
    checkpoints.wait()
    checkpoints.close()
    return command


class GivenBatches:
    """The batches of one step, as `write_bundle` stored them: a source for that step alone."""

    same_feed = False

    def __init__(self, file: epath.Path):
        with file.open("rb") as opened, np.load(opened) as arrays:
            self._arrays = {name: jnp.asarray(arrays[name]) for name in arrays.files}

    def feed(self, step: int) -> dict[str, jax.Array]:
        """All arrays."""
        return self._arrays

    def batch(self, feed: dict[str, jax.Array], step: Any, draw: Any) -> dict[str, jax.Array]:
        """One of the batches; `draw` must not be traced."""
        return {name.rpartition("_")[0]: value for name, value in feed.items() if name.endswith(f"_{draw}")}

    def close(self) -> None:
        """Nothing to let go of."""


def replay(path: epath.PathLike) -> dict[str, Any]:
    """What is not finite after the step, by name, and its metrics.

    Args:
      path: RUN/nonfinite/STEP, within the directory of its run.

    Raises:
      ConfigError: it is no such bundle.
    """
    bundle = epath.Path(path).resolve()
    if not (bundle / "report.json").exists():
        raise ConfigError(f"{path} is no bundle of a step: it has no report.json")
    step = int(json.loads((bundle / "report.json").read_text())["step"])
    config, info, game = described_run(bundle.parent.parent)
    mesh = make_mesh()
    checkpoints = Checkpoints(bundle / "checkpoints", create=False)
    state = checkpoints.restore(step - 1, wanted_state(game, info, mesh))
    source = GivenBatches(bundle / "batches.npz")
    program = Program(game, source, mesh, config.seed, reproducible=config.reproducible, loop=False)
    _, culprit = take_one(program, state, step - 1)
    return {"step": step, "not_finite": culprit.names, "metrics": {k: str(v) for k, v in culprit.metrics.items()}}
