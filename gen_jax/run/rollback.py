"""What a training does about a step that made a number which is not finite."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from gen_jax.data import Split, Streams
from gen_jax.errors import NonFiniteError, StorageError
from gen_jax.run.directory import RunDirectory
from gen_jax.run.replay import write_bundle
from gen_jax.run.setup import Setup
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.distributed import is_leader
from gen_jax.training.nonfinite import Culprit, find_culprit
from gen_jax.training.sharding import replicated
from gen_jax.training.storage import first_line

# After so many skipped steps, what is wrong is not the batches.
MOST_SKIPPED = 10


@dataclass(frozen=True)
class Rollback:
    """Finds the step that made such a number, and leaves it out or stops.

    Attributes:
      setup: the run.
      split: what it learns from.
      directory: where it is.
      identity: of its checkpoints.
      say: is told what happens.
    """

    setup: Setup
    split: Split | Streams
    directory: RunDirectory
    identity: Mapping[str, Any]
    say: Callable[[str], None]

    def skip_culprit(self, checkpoints: Checkpoints, error: NonFiniteError, skipped: frozenset[int]) -> frozenset[int]:
        """Finds the step that made the error, writes a bundle of it, and adds it to the steps that are skipped.

        Raises:
          NonFiniteError: the run is to stop at such a step, or has skipped too many.
        """
        self.say("a number stopped being finite: taking the steps since the last checkpoint again to find it")
        checkpoints.close()
        culprit = self.search(checkpoints, error.step, skipped)
        if culprit is None:
            raise NonFiniteError(
                f"{error}; taking the steps again made no such number: suspect the machine, and run it again",
                error.step,
            )
        try:
            bundle = self.directory.bundle(culprit.step)
            batches = self.batches_of(culprit.step)
            command = write_bundle(bundle, culprit, batches, self.identity, self.setup.mesh.size)
            left = f"; to reproduce it: {command}"
        except StorageError as problem:
            left = f"; what reproduces it could not be written: {problem}"
        what = f"{', '.join(culprit.names[:5])} stopped being finite in step {culprit.step}"
        if self.setup.config.on_nonfinite == "stop":
            raise NonFiniteError(f"{what}{left}, or --on-nonfinite rollback to leave it out", culprit.step)
        if len(skipped) >= MOST_SKIPPED:
            raise NonFiniteError(f"{what}, after {len(skipped)} other steps were left out{left}", culprit.step)
        skipped = skipped | {culprit.step}
        self.say(f"{what}: leaving it out, step {len(skipped)} of at most {MOST_SKIPPED} left out{left}")
        try:
            if is_leader():
                self.directory.write_skipped(skipped)
        except OSError as problem:
            path = self.directory.skipped
            self.say(f"{path} could not be written: {first_line(problem)}; a restart finds the step again")
        return skipped

    def search(self, checkpoints: Checkpoints, last: int, skipped: frozenset[int]) -> Culprit | None:
        """The step up to `last` that made a number which is not finite; None if none did."""
        start, state = self.setup.begin(checkpoints, self.split)
        program = self.setup.program(self.setup.source(self.split, start or 0))
        try:
            return find_culprit(program, state, last, skipped)
        finally:
            program.source.close()

    def batches_of(self, step: int) -> list[dict[str, np.ndarray]]:
        """What a step, counted from 1, draws; on the host."""
        source = self.setup.source(self.split, step - 1)
        feed = source.feed(step - 1)
        # Of what is spread over processes each has only its share.
        whole = replicated(self.setup.mesh)
        draw = jax.jit(lambda feed, n: dict(source.batch(feed, step - 1, n)), out_shardings=whole)
        batches = [jax.device_get(draw(feed, n)) for n in range(self.setup.game.draws)]
        source.close()
        return batches
