"""What a training does about a step that made a number which is not finite."""

from typing import TYPE_CHECKING

import jax
import numpy as np

from gen_jax.errors import NonFiniteError, StorageError
from gen_jax.replay import write_bundle
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.distributed import is_leader
from gen_jax.training.nonfinite import Culprit, find_culprit
from gen_jax.training.sharding import replicated
from gen_jax.training.storage import first_line

if TYPE_CHECKING:
    from gen_jax.trainer import TrainingRun

# After so many steps left out, what is wrong is not the batches.
MOST_SKIPPED = 10


def leave_out(
    run: "TrainingRun", checkpoints: Checkpoints, error: NonFiniteError, skipped: frozenset[int]
) -> frozenset[int]:
    """Finds the step that made the error, leaves a bundle of it, and adds it to the steps that are left out.

    Raises:
      NonFiniteError: the run is to stop at such a step, or has left out too many.
    """
    run.say("a number stopped being finite: taking the steps since the last checkpoint again to find which made it")
    checkpoints.close()
    culprit = search(run, checkpoints, error.step, skipped)
    if culprit is None:
        raise NonFiniteError(
            f"{error}; taking the steps again made no such number: suspect the machine, and run it again", error.step
        )
    try:
        bundle = run.directory.bundle(culprit.step)
        batches = batches_of(run, culprit.step)
        command = write_bundle(bundle, culprit, batches, run.identity, run.mesh.size)
        left = f"; to reproduce it: {command}"
    except StorageError as problem:
        left = f"; what reproduces it could not be written: {problem}"
    what = f"{', '.join(culprit.names[:5])} stopped being finite in step {culprit.step}"
    if run.config.on_nonfinite == "stop":
        raise NonFiniteError(f"{what}{left}, or --on-nonfinite rollback to leave it out", culprit.step)
    if len(skipped) >= MOST_SKIPPED:
        raise NonFiniteError(f"{what}, after {len(skipped)} other steps were left out{left}", culprit.step)
    skipped = skipped | {culprit.step}
    run.say(f"{what}: leaving it out, step {len(skipped)} of at most {MOST_SKIPPED} left out{left}")
    try:
        if is_leader():
            run.directory.write_skipped(skipped)
    except OSError as problem:
        run.say(f"{run.directory.skipped} could not be written: {first_line(problem)}; a restart finds the step again")
    return skipped


def search(run: "TrainingRun", checkpoints: Checkpoints, last: int, skipped: frozenset[int]) -> Culprit | None:
    """The step up to `last` that made a number which is not finite; None if none did."""
    start, state = run.begin(checkpoints)
    program = run.program(start or 0)
    try:
        return find_culprit(program, state, last, skipped)
    finally:
        program.source.close()


def batches_of(run: "TrainingRun", step: int) -> list[dict[str, np.ndarray]]:
    """What a step, counted from 1, draws; on the host."""
    source = run.program(step - 1).source
    feed = source.feed(step - 1)
    # Of what is spread over processes each has only its share.
    draw = jax.jit(lambda feed, n: dict(source.batch(feed, step - 1, n)), out_shardings=replicated(run.mesh))
    batches = [jax.device_get(draw(feed, n)) for n in range(run.game.draws)]
    source.close()
    return batches
