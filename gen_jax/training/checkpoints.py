"""Checkpoints of a run: written by Orbax in the background, checked on the way back."""

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
from etils import epath

from gen_jax.errors import ConfigError, DamagedCheckpoint, GenJaxError, StorageError
from gen_jax.training.retention import kept_steps
from gen_jax.training.state import State
from gen_jax.training.step_directories import StepDirectories, together
from gen_jax.training.storage import first_line, is_about_storage, let_go
from gen_jax.training.stored_step import check_state, describe, read_metadata, read_state, read_trusted


def not_from_orbax(record: logging.LogRecord) -> bool:
    """Orbax logs with a traceback what it raises as well."""
    return "orbax" not in record.pathname


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
        best: str | None = None,
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
        self._metrics: dict[int, Mapping[str, float | None]] = {}
        self._writer: Any = None
        self._pending: tuple[int, threading.Thread] | None = None
        self._failure: tuple[str, BaseException] | None = None
        logging.getLogger("absl").addFilter(not_from_orbax)
        if create:
            together(self._directories.make)
            self._clean_up()

    def steps(self) -> list[int]:
        """All steps that are saved, or being saved, oldest first.

        Raises:
          StorageError: the directory cannot be read.
        """
        pending = set() if self._pending is None or not self._pending[1].is_alive() else {self._pending[0]}
        return sorted({*self._directories.steps(), *pending})

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
        earlier = self._settle()
        try:
            if step not in self._directories.agreed_steps():
                self._begin(step, state, metrics)
        except StorageError as error:
            raise StorageError(f"{error}; before, {earlier}" if earlier else str(error)) from error
        if earlier is not None:
            self._report(str(earlier))

    def check(self) -> None:
        """Raises StorageError if a save has failed in the background by now, once for each. Does not wait."""
        if self._pending is not None and not self._pending[1].is_alive():
            self.wait()

    def wait(self) -> None:
        """Until all that was saved is on disk.

        Raises:
          StorageError: it could not be written, once for each failure.
        """
        error = self._settle()
        if error is not None:
            raise error

    def close(self) -> None:
        """Waits, and lets go of the directory. A failure is reported; to have it raised, `wait` before."""
        error = self._settle()
        if error is not None:
            self._report(str(error))
        self._discard_writer()

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
        check_state(state, step, trusted)
        return state

    def _begin(self, step: int, state: State, metrics: Mapping[str, float]) -> None:
        import orbax.checkpoint as ocp

        metadata = describe(step, state, self._identity, metrics)
        # A dictionary, because Orbax puts values of its own where a state has an empty one.
        items = ocp.args.Composite(state=ocp.args.StandardSave(vars(state)), metadata=ocp.args.JsonSave(metadata))
        together(lambda: self._directories.probe(step))
        self._clean_up()
        try:
            self._writer = self._writer or new_writer()
            self._writer.save(self._directories.of(step), args=items)
        except Exception as error:
            self._recover()
            if not is_about_storage(error, self._directories.path):
                raise
            raise StorageError(f"step {step} could not be saved: {first_line(error)}") from error
        thread = threading.Thread(target=self._finish, args=(step, metadata["metrics"]), name=f"save-{step}")
        self._pending = step, thread
        thread.start()

    def _finish(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """In the background: waits for the step to be on disk, and only then deletes others."""
        what = f"step {step} could not be saved"
        try:
            self._writer.wait_until_finished()
            self._metrics[step] = metrics
            what = "older steps could not be deleted"
            if jax.process_index() == 0:
                self._retire(step)
        except BaseException as error:
            self._failure = what, error

    def _settle(self) -> StorageError | None:
        """Waits for the background, and returns what the disk refused; other errors are raised."""
        if self._pending is None:
            return None
        self._pending[1].join()
        self._pending = None
        if self._failure is None:
            return None
        (what, error), self._failure = self._failure, None
        self._recover()
        if not is_about_storage(error, self._directories.path):
            raise error
        failure = StorageError(f"{what}: {first_line(error)}")
        let_go(error)
        return failure

    def _retire(self, newest: int) -> None:
        """Deletes what need not be kept; never the step that was just saved, even where a newer one lies about."""
        steps = self._directories.steps()
        measured = {step: self._measured(step) if self._best else {} for step in steps}
        for step in set(steps) - kept_steps(measured, self._keep, self._best) - {newest}:
            self._directories.delete(step)

    def _measured(self, step: int) -> Mapping[str, float | None]:
        if step not in self._metrics:
            try:
                self._metrics[step] = read_metadata(self._directories.of(step), step)["metrics"]
            except GenJaxError:
                # It will be found out when it is restored; for now it is one of the newest, or not.
                return {}
        return self._metrics[step]

    def _recover(self) -> None:
        """After a failed save: begins anew, without what it left, which would take up a full disk."""
        self._discard_writer()
        self._clean_up()

    def _clean_up(self) -> None:
        """Removes what interrupted saves and deletions left; what cannot be removed now, before the next save."""
        with contextlib.suppress(OSError):
            self._directories.clean_up()

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except Exception as error:
                # A writer that failed may fail again when it is closed; what failed is known by then.
                logging.getLogger(__name__).debug("closing the writer: %s", first_line(error))


def new_writer() -> Any:
    """An asynchronous Orbax checkpointer of the items `state` and `metadata`."""
    # Orbax takes a second to import, which `--help` and a wrong flag should not pay.
    import orbax.checkpoint as ocp

    # What the disk refuses at once is raised at once, instead of after the directory was waited for.
    options = ocp.options.AsyncOptions(create_directories_asynchronously=False)
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(async_options=options),
        state=ocp.StandardCheckpointHandler(),
        metadata=ocp.JsonCheckpointHandler(),
    )
    return ocp.AsyncCheckpointer(handler, async_options=options)
