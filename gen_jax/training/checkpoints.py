"""Checkpoints of a run: Orbax, written in the background, as the named items `state` and `metadata`."""

from typing import Any

import jax
from etils import epath

from gen_jax.errors import ConfigError
from gen_jax.training.state import State, leaves_by_name


def misfits(wanted: dict[str, Any], saved: dict[str, Any]) -> list[str]:
    """What keeps saved leaves from being restored as they are; Orbax itself would cast another dtype in silence."""
    found = [f"it has no {name}" for name in wanted.keys() - saved.keys()]
    found += [f"{name} is not wanted" for name in saved.keys() - wanted.keys()]
    for name in wanted.keys() & saved.keys():
        want, have = (f"{leaf.dtype}{list(leaf.shape)}" for leaf in (wanted[name], saved[name]))
        if want != have:
            found.append(f"{name} is {have}, not {want}")
    return sorted(found)


class Checkpoints:
    """The saved steps of a run."""

    def __init__(self, directory: epath.PathLike, keep: int = 2, *, create: bool = True):
        """Opens the directory, which need not exist yet.

        Args:
          directory: one sub-directory a step, named by the number of completed steps.
          keep: how many of the newest steps to keep.
          create: whether to make the directory where there is none; False for who only reads.
        """
        # Orbax takes a second to import, which `--help` and a wrong flag should not pay.
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self._directory = epath.Path(directory)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=create, enable_async_checkpointing=True)
        handlers = {"state": ocp.StandardCheckpointHandler(), "metadata": ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(self._directory.absolute(), options=options, item_handlers=handlers)

    def latest(self) -> int | None:
        """The newest saved step, or None."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """All saved steps, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: State, metadata: dict[str, Any]) -> None:
        """Copies the state off the devices and writes it in the background; a step that is saved is left alone."""
        if step == self.latest():
            return
        args = self._ocp.args
        # A dictionary, because Orbax puts values of its own where a state has an empty one.
        items = args.Composite(state=args.StandardSave(vars(state)), metadata=args.JsonSave(metadata))
        self._manager.save(step, args=items)

    def restore(self, step: int, like: State) -> State:
        """The state saved at `step`.

        Args:
          step: one of the saved steps.
          like: arrays or ShapeDtypeStructs (with shardings) of the state that is wanted.

        Raises:
          ConfigError: the saved state has other leaves, shapes or dtypes than `like`.
        """
        args = self._ocp.args
        mismatch = misfits(leaves_by_name(like), leaves_by_name(self._manager.item_metadata(step)["state"].tree))
        if mismatch:
            raise ConfigError(f"the checkpoint of step {step} in {self._directory} does not fit: {'; '.join(mismatch)}")
        abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like)
        items = args.Composite(state=args.StandardRestore(vars(abstract)))
        return State(**self._manager.restore(step, args=items)["state"])

    def wait(self) -> None:
        """Until all that was saved is on disk. Raises what went wrong in the background."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and lets go of the directory."""
        self._manager.close()
