"""Writing one step at a time in the background, by Orbax, and learning how it went."""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax

from gen_jax.errors import StorageError
from gen_jax.training.state import State
from gen_jax.training.step_directories import StepDirectories, together
from gen_jax.training.storage import first_line, ignore_closed_loops, is_about_storage, let_go

# Bytes of the smallest part of an array for which it is worth it that devices with the same array write a part each.
SHARED = 1 << 20


def not_from_orbax(record: logging.LogRecord) -> bool:
    """Orbax logs with a traceback what it raises as well."""
    return "orbax" not in record.pathname


class BackgroundWriter:
    """Writes steps into their directories; a step has its name only once all of it is on disk."""

    def __init__(self, directories: StepDirectories):
        self._directories = directories
        self._orbax: Any = None
        self._pending: tuple[int, threading.Thread] | None = None
        self._failure: BaseException | None = None
        logging.getLogger("absl").addFilter(not_from_orbax)
        ignore_closed_loops()

    @property
    def busy_with(self) -> int | None:
        """The step that is being written."""
        return self._pending[0] if self._pending is not None and self._pending[1].is_alive() else None

    @property
    def has_begun(self) -> bool:
        """Whether a step is being written, or has been since the last one was settled."""
        return self._pending is not None

    def begin(self, step: int, state: State, metadata: Mapping[str, Any], afterwards: Callable[[], None]) -> None:
        """Copies the state off the devices and starts writing. The last step must be settled.

        Args:
          step: the number of completed steps.
          state: may be donated once this returns.
          metadata: JSON.
          afterwards: deletes older steps, in the background, once this one is on disk; raises nothing of the disk's.

        Raises:
          StorageError: the disk would not take it; what else went wrong is raised as it is.
        """
        import orbax.checkpoint as ocp

        # A dictionary, because Orbax puts values of its own where a state has an empty one.
        items = ocp.args.Composite(state=ocp.args.StandardSave(vars(state)), metadata=ocp.args.JsonSave(metadata))
        together(lambda: self._directories.probe(step))
        self.clean_up()
        try:
            self._orbax = self._orbax or new_orbax()
            self._orbax.save(self._directories.of(step), args=items)
        except Exception as error:
            self._recover()
            if not is_about_storage(error, self._directories.path):
                raise
            raise StorageError(f"step {step} could not be saved: {first_line(error)}") from error
        self._pending = step, threading.Thread(target=self._finish, args=(afterwards,), name=f"save-{step}")
        self._pending[1].start()

    def settle(self) -> StorageError | None:
        """Waits, and returns what the disk refused, once; what else went wrong is raised as it is."""
        if self._pending is None:
            return None
        step, thread = self._pending
        thread.join()
        self._pending = None
        if self._failure is None:
            return None
        error, self._failure = self._failure, None
        self._recover()
        if not is_about_storage(error, self._directories.path):
            raise error
        failure = StorageError(f"step {step} could not be saved: {first_line(error)}")
        let_go(error)
        return failure

    def clean_up(self) -> None:
        """Removes what interrupted saves and deletions left; what cannot be removed now, before the next save."""
        with contextlib.suppress(OSError):
            self._directories.clean_up()

    def close(self) -> None:
        """Lets go of Orbax. The last step must be settled."""
        orbax, self._orbax = self._orbax, None
        if orbax is not None:
            # One that failed may fail again when it is closed; what failed is known by then.
            with contextlib.suppress(Exception):
                orbax.close()

    def _finish(self, afterwards: Callable[[], None]) -> None:
        try:
            self._orbax.wait_until_finished()
            afterwards()
        except BaseException as error:
            self._failure = error

    def _recover(self) -> None:
        """After a failure: begins anew, without what it left, which would take up a full disk."""
        self.close()
        self.clean_up()


def new_orbax() -> Any:
    """An asynchronous Orbax checkpointer of the items `state` and `metadata`."""
    # Orbax takes a second to import, which `--help` and a wrong flag should not pay.
    import orbax.checkpoint as ocp

    # They slice what they share, which is compiled for each slice of each shape.
    handler_of_arrays = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=SHARED)
    ocp.type_handlers.register_type_handler(jax.Array, handler_of_arrays, override=True)
    # What the disk refuses at once is raised at once, instead of after the directory was waited for.
    options = ocp.options.AsyncOptions(create_directories_asynchronously=False)
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(async_options=options),
        state=ocp.StandardCheckpointHandler(),
        metadata=ocp.JsonCheckpointHandler(),
    )
    return ocp.AsyncCheckpointer(handler, async_options=options)
