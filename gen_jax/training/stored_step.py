"""One saved step: what is written beside the state, and how both are checked before the state is believed.

A step is a directory with two Orbax items, `state` and `metadata`. The metadata say which step of which run it is, and
hold a digest of every leaf and a checksum of themselves. Orbax has no checksums: it restores some damaged files into
wrong values without a word.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath

from gen_jax.errors import ConfigError, DamagedCheckpoint
from gen_jax.training.fingerprint import described, leaf_digests
from gen_jax.training.state import State, leaves_by_name
from gen_jax.training.storage import reading


def misfits(wanted: Mapping[str, str], saved: Mapping[str, str]) -> list[str]:
    """What keeps saved leaves ({name: "float32[3,4]"}) from being restored as those that are wanted.

    Orbax itself would cast another dtype in silence.
    """
    found = [f"it has no {name}" for name in wanted.keys() - saved.keys()]
    found += [f"{name} is not wanted" for name in saved.keys() - wanted.keys()]
    both = wanted.keys() & saved.keys()
    return sorted(
        found + [f"{name} is {saved[name]}, not {wanted[name]}" for name in both if saved[name] != wanted[name]]
    )


def leaf_types(tree: Any) -> dict[str, str]:
    """{name: "float32[3,4]"} of arrays, ShapeDtypeStructs or Orbax's metadata."""
    return {name: described(leaf) for name, leaf in leaves_by_name(tree).items()}


def checksum(metadata: Mapping[str, Any]) -> str:
    """SHA-256 of all metadata but the checksum itself."""
    rest = {name: value for name, value in metadata.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def describe(
    step: int, state: State, identity: Mapping[str, Any] | None, metrics: Mapping[str, float]
) -> dict[str, Any]:
    """The metadata of a state: `step`, `identity`, `leaves` (digests), `metrics` (finite or None) and `checksum`."""
    metadata = {
        "step": step,
        "identity": identity,
        "leaves": leaf_digests(state),
        "metrics": {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()},
    }
    # Once through JSON, so that what is summed is what will be read: there, a tuple is a list.
    metadata = json.loads(json.dumps(metadata))
    return {**metadata, "checksum": checksum(metadata)}


def agree(one: Any, other: Any) -> bool:
    """Whether two identities say nothing different. None says nothing, and nor does a field that only one has.

    Fields come and go with the versions of a library.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return all(agree(one[name], other[name]) for name in one.keys() & other.keys())
    return one is None or other is None or one == other


def read_metadata(path: epath.Path, step: int) -> dict[str, Any]:
    """The metadata of the step in the directory `path`.

    Raises:
      DamagedCheckpoint: they are missing, not what was written, or those of another step.
      StorageError: the disk does not answer.
    """
    import orbax.checkpoint as ocp

    with reading(path):
        if not (path / "metadata").exists():
            raise DamagedCheckpoint("it has no metadata")
        metadata = dict(ocp.JsonCheckpointHandler().restore(path / "metadata"))
        if metadata.get("checksum") != checksum(metadata):
            raise DamagedCheckpoint("its metadata are not what was written")
        if metadata["step"] != step:
            raise DamagedCheckpoint(f"it is that of step {metadata['step']}")
        return metadata


def read_trusted(path: epath.Path, step: int, identity: Mapping[str, Any] | None, like: State) -> dict[str, str]:
    """The digest of every leaf of the step, which is known to be of this run and to have the leaves of `like`.

    Raises:
      ConfigError: it is intact, and has other leaves, shapes or dtypes; the message names each.
      DamagedCheckpoint: it is not intact, or another run's.
      StorageError: the disk does not answer.
    """
    import orbax.checkpoint as ocp

    metadata = read_metadata(path, step)
    with reading(path):
        if not agree(metadata["identity"], json.loads(json.dumps(identity))):
            raise DamagedCheckpoint("it belongs to another run")
        saved = {name: entry.rpartition(" ")[0] for name, entry in metadata["leaves"].items()}
        if found := misfits(leaf_types(like), saved):
            raise ConfigError("; ".join(found))
        if found := misfits(saved, leaf_types(ocp.StandardCheckpointHandler().metadata(path / "state").tree)):
            raise DamagedCheckpoint(f"its list of leaves is not what was written: {found[0]}")
        return metadata["leaves"]


def read_state(path: epath.Path, like: State) -> State:
    """The state of the step, with the shardings of `like`, as Orbax reads it: not checked.

    Involves no other process, so that one that fails keeps none waiting.
    """
    import orbax.checkpoint as ocp

    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None)), like
    )
    with reading(path):
        restored = ocp.StandardCheckpointHandler().restore(
            path / "state", args=ocp.args.StandardRestore(vars(abstract))
        )
        return jax.block_until_ready(State(**restored))


def check_state(state: State, step: int, trusted: Mapping[str, str]) -> None:
    """Raises DamagedCheckpoint, naming the leaves, if a state is not the one that was saved. All processes together."""
    found = leaf_digests(state)
    wrong = sorted(name for name in trusted.keys() | found.keys() if trusted.get(name) != found.get(name))
    if wrong:
        raise DamagedCheckpoint(f"wrong values in {', '.join(wrong)}")
    if int(state.step) != step:
        raise DamagedCheckpoint(f"its state is that of step {int(state.step)}")
