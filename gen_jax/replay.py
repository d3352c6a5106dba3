"""Taking a step again that made a number which is not finite, from the bundle that the training left."""

import json
from typing import Any

from etils import epath

from gen_jax.errors import ConfigError
from gen_jax.run import described_run, wanted_state
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.nonfinite import GivenBatches, take_one
from gen_jax.training.program import Program
from gen_jax.training.sharding import make_mesh


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
