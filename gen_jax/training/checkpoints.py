"""Checkpoints of a run: written by Orbax in the background, checked on the way back."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from etils import epath

from gen_jax.errors import ConfigError, DamagedCheckpoint, StorageError
from gen_jax.training.background import BackgroundWriter
from gen_jax.training.retention import Best, kept_steps
from gen_jax.training.state import State
from gen_jax.training.step_directories import StepDirectories, together
from gen_jax.training.storage import first_line
from gen_jax.training.stored_step import check_state, describe, read_metadata, read_state, read_trusted


class Checkpoints:
    """The saved steps of a run.

    With several processes each of them makes the same calls. What is saved is looked up on disk every time: nothing
    can be forgotten, or remembered, in error.
    """

    def __init__(
        self,
        directory: epath.PathLike,
        keep: int = 2,
        *,
        best: Best | None = None,
        identity: Mapping[str, Any] | None = None,
        create: bool = True,
        report: Callable[[str], None] = lambda line: None,
    ):
        """Opens the directory, which need not exist yet.

        Args:
          directory: one sub-directory a step, named by the number of completed steps.
          keep: how many of the newest steps to keep; at least 2, for the newest may turn out to be damaged.
          best: a metric whose best step is kept as well.
          identity: what the run learns, as JSON; steps saved under another are not restored. None: not compared.
          create: whether to create the directory and to clean it up; False for who only reads, and changes nothing.
          report: is told, in a line, what did not go as it should while the run goes on.

        Raises:
          ValueError: `keep` is less than 2.
          StorageError: the directory cannot be made.
        """
        if keep < 2:
            raise ValueError(f"keep is {keep}; accepted: at least 2")
        self._directories = StepDirectories(directory)
        self._keep, self._best, self._identity, self._report = keep, best, identity, report
        self._writes = create
        # Whether the last deletion failed, so that it is said once.
        self._undeleted = False
        self._metrics: dict[int, Mapping[str, float | None]] = {}
        self._writer = BackgroundWriter(self._directories)
        if create:
            together(self._directories.make)
            self._writer.clean_up()

    def steps(self) -> list[int]:
        """All steps that are saved, or being saved, oldest first.

        Raises:
          StorageError: the directory cannot be read.
        """
        # Asked for first, lest it be neither on its way nor there.
        pending = self._writer.busy_with
        return sorted({*self._directories.steps(), *([] if pending is None else [pending])})

    def latest(self) -> int | None:
        """The newest of `steps`, or None."""
        return max(self.steps(), default=None)

    def save(self, step: int, state: State, metrics: Mapping[str, float] = {}) -> None:
        """Copies the state off the devices and writes it in the background; a step that is saved is left alone.

        What went wrong in the background with the step before is reported, if this one can be begun.

        Args:
          step: the number of completed steps.
          state: the state after them. May be donated once this returns.
          metrics: what was measured at this step, for the choice of the best.

        Raises:
          StorageError: the disk would not even take the beginning. The steps on disk are as they were.
          ValueError: the state is not that of `step`.
        """
        if int(state.step) != step:
            raise ValueError(f"a state of step {int(state.step)} was to be saved as that of step {step}")
        earlier = self._writer.settle()
        try:
            if step not in self._directories.agreed_steps():
                metadata = describe(step, state, self._identity, metrics)
                self._writer.begin(step, state, metadata, lambda: self._retire(step, metadata["metrics"]))
        except StorageError as error:
            raise StorageError(f"{error}; before, {earlier}" if earlier else str(error)) from error
        if earlier is not None:
            self._report(str(earlier))

    def wait(self) -> bool:
        """Until all that was saved is on disk. Returns whether there was anything to wait for.

        Raises:
          StorageError: it could not be written, once for each failure; in every process, if it failed in one.
        """
        waited = self._writer.has_begun
        together(self._settle)
        return waited

    def _settle(self) -> None:
        error = self._writer.settle()
        if error is not None:
            raise error

    def close(self) -> None:
        """Waits, and lets go of the directory. A failure is reported; to have it raised, `wait` before."""
        error = self._writer.settle()
        if error is not None:
            self._report(str(error))
        self._writer.close()

    def restore(self, step: int, like: State) -> State:
        """The state saved at `step`, known to be the one that was saved.

        Args:
          step: one of the saved steps.
          like: arrays or ShapeDtypeStructs (with shardings) of the state that is wanted.

        Raises:
          ConfigError: the saved state has other leaves, shapes or dtypes than `like`.
          DamagedCheckpoint: it is not what was saved, or it is another run's.
          StorageError: the disk does not answer.
        """
        try:
            return self._restore(step, like)
        except DamagedCheckpoint as error:
            raise DamagedCheckpoint(
                f"the checkpoint of step {step} in {self._directories.path} is damaged: {error}"
            ) from error

    def restore_newest(self, like: State) -> tuple[int, State] | None:
        """The newest intact step and its state; None if nothing was ever saved.

        Newer ones that are damaged are reported and, unless `create` is False, moved to `damaged` beside the directory.

        Raises:
          ConfigError: steps are saved and none is intact, or the newest intact one does not fit `like`.
          StorageError: the disk does not answer, which says nothing about what is on it; nothing is moved.
        """
        damaged: dict[int, DamagedCheckpoint] = {}
        for step in reversed(self._directories.agreed_steps()):
            try:
                state = self._restore(step, like)
            except DamagedCheckpoint as error:
                damaged[step] = error
                continue
            for bad, why in damaged.items():
                move = functools.partial(self._directories.set_aside, bad)
                fate = f"moved to {together(move)}" if self._writes else "passed over"
                self._report(f"the checkpoint of step {bad} is damaged ({why}): {fate}")
            return step, state
        if damaged:
            reasons = "; ".join(f"step {step}: {why}" for step, why in damaged.items())
            raise ConfigError(
                f"no checkpoint in {self._directories.path} is intact ({reasons}); to start over, move it away"
            )
        return None

    def _restore(self, step: int, like: State) -> State:
        path = self._directories.of(step)
        try:
            trusted = together(lambda: read_trusted(path, step, self._identity, like))
        except ConfigError as error:
            raise ConfigError(
                f"the checkpoint of step {step} in {self._directories.path} does not fit: {error}"
            ) from error
        state = together(lambda: read_state(path, like))
        together(lambda: check_state(state, step, trusted))
        return state

    def _retire(self, newest: int, metrics: Mapping[str, float | None]) -> None:
        """Deletes what need not be kept; never the step that was just saved, even where a newer one lies about.

        What cannot be read or deleted now stays until the next time.
        """
        self._metrics[newest] = metrics
        if jax.process_index() != 0:
            return
        try:
            steps = self._directories.steps()
            measured = {step: self._measured(step) if self._best else {} for step in steps}
            for step in set(steps) - kept_steps(measured, self._keep, self._best) - {newest}:
                self._directories.delete(step)
        except (OSError, StorageError) as error:
            if not self._undeleted:
                self._report(f"older checkpoints could not be deleted: {first_line(error)}")
            self._undeleted = True
            return
        self._undeleted = False

    def _measured(self, step: int) -> Mapping[str, float | None]:
        """The metrics of a step. Raises StorageError if the disk does not answer, which makes no step a worse one."""
        if step not in self._metrics:
            try:
                self._metrics[step] = read_metadata(self._directories.of(step), step)["metrics"]
            except DamagedCheckpoint:
                # It will be found out when it is restored; for now it is one of the newest, or not.
                return {}
        return self._metrics[step]
