"""The directories of saved steps: which there are, and how they come and go."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from gen_jax.errors import ConfigError, DamagedCheckpoint, GenJaxError, StorageError
from gen_jax.training.compilation import wait_for_all
from gen_jax.training.storage import first_line

T = TypeVar("T")

# What is left of a step while it is deleted. It is renamed first, so that a kill leaves no half of a step.
DELETED = ".deleted"


def together(action: Callable[[], T]) -> T:
    """What the action returns if it succeeds in every process; otherwise a GenJaxError of one kind in all of them."""
    if jax.process_count() == 1:
        return action()
    # Exchanges wait for 30 seconds at most, and what comes before them may take longer in one process.
    wait_for_all()
    result: list[T] = []
    error: GenJaxError | None = None
    kinds = (DamagedCheckpoint, ConfigError, StorageError)
    mine = 0
    try:
        result.append(action())
    except kinds as raised:
        error, mine = raised, 1 + kinds.index(type(raised))
    worst = int(np.max(multihost_utils.process_allgather(np.int32(mine))))
    if worst != mine:
        raise kinds[worst - 1]("another process found it so") from error
    if error is not None:
        raise error
    return result[0]


class StepDirectories:
    """A directory with one sub-directory a step, named by its number. Process 0 alone changes anything."""

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path).absolute()
        self._local = "://" not in str(self.path)

    def of(self, step: int) -> epath.Path:
        """The directory of a step."""
        return self.path / str(step)

    def steps(self) -> list[int]:
        """Steps that are there, oldest first. What an interrupted save left has another name or, on `gs://`, no mark.

        Raises:
          StorageError: the directory cannot be read.
        """
        try:
            names = [path.name for path in self.path.iterdir()] if self.path.exists() else []
            found = sorted(
                int(name) for name in names if name.isascii() and name.isdecimal() and f"{int(name)}" == name
            )
            return [step for step in found if self.of(step).is_dir() and self._is_finished(step)]
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {first_line(error)}") from error

    def agreed_steps(self) -> list[int]:
        """`steps` as process 0 sees them, for a shared disk may show them to others a little later."""
        steps = together(self.steps)
        if jax.process_count() == 1:
            return steps
        count = int(multihost_utils.broadcast_one_to_all(np.int32(len(steps))))
        padded = np.array((steps + [0] * count)[:count], np.int32)
        return [int(step) for step in multihost_utils.broadcast_one_to_all(padded)]

    def make(self) -> None:
        """Makes the directory where there is none. Raises StorageError where it cannot be made."""
        try:
            if jax.process_index() == 0:
                self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be made: {first_line(error)}") from error

    def probe(self, step: int) -> None:
        """Raises StorageError if the step could not be written; the directory may have vanished, and is made again.

        Asked first, because Orbax would leave all other processes waiting for process 0 to make a directory.
        """
        try:
            if jax.process_index() == 0:
                self.path.mkdir(parents=True, exist_ok=True)
                trial = self.path / f"{step}{DELETED}"
                trial.mkdir(exist_ok=True)
                trial.rmdir()
        except OSError as error:
            raise StorageError(f"step {step} could not be saved: {first_line(error)}") from error

    def delete(self, step: int) -> None:
        """Deletes a step; a kill meanwhile leaves all of it or none."""
        path = self.of(step)
        if self._local:
            # On `gs://` directories cannot be renamed, only copied.
            renamed = path.with_name(path.name + DELETED)
            if renamed.exists():
                renamed.rmtree()
            path = path.rename(renamed)
        path.rmtree()

    def clean_up(self) -> None:
        """Removes what interrupted saves and deletions left."""
        import orbax.checkpoint as ocp

        if jax.process_index() == 0 and self.path.exists():
            for path in self.path.iterdir():
                if path.is_dir() and (path.suffix == DELETED or ocp.utils.is_tmp_checkpoint(path)):
                    path.rmtree()

    def set_aside(self, step: int) -> epath.Path:
        """Moves a damaged step to `damaged` beside the directory, and returns where it is now."""
        aside = self.path.parent / "damaged"
        target, count = aside / str(step), 1
        while target.exists():
            count += 1
            target = aside / f"{step}-{count}"
        if jax.process_count() > 1:
            # Nothing is moved before all have found the same name free.
            multihost_utils.sync_global_devices(f"set aside {step}")
        try:
            if jax.process_index() == 0:
                aside.mkdir(parents=True, exist_ok=True)
                self.of(step).rename(target)
        except OSError as error:
            raise StorageError(f"the damaged {self.of(step)} cannot be moved: {first_line(error)}") from error
        return target

    def _is_finished(self, step: int) -> bool:
        import orbax.checkpoint as ocp

        # Elsewhere the final name is given last.
        return self._local or ocp.utils.is_checkpoint_finalized(self.of(step))
