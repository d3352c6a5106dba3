"""Which states of a run people were shown: what tells answers about this run from answers about another.

Whoever is asked may answer when training has gone on, and retention has deleted the checkpoint that they judged. To
refuse them is no way, for their work cannot be done again; nor is to take whatever has the run's configuration, which
tells neither two states of a run apart nor one that it never had. So each page leaves a line, step and digest of the
state, in the run directory. A checkpoint, as long as there is one, has the last word: a run that went back may have
reached the same step in another state.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from gen_jax.errors import ConfigError, StorageError
from gen_jax.loaded import Run
from gen_jax.run.directory import RunDirectory
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.storage import first_line

PAGES = "hype.jsonl"  # in the run directory


def record_page(directory: RunDirectory, study: Mapping[str, Any]) -> None:
    """Notes in the run directory of which `step` and `state` a page was made."""
    path = directory.path / PAGES
    line = json.dumps({name: study[name] for name in ("step", "state")}) + "\n"
    # A run that may only be read can be judged all the same, as long as its checkpoint is there.
    with contextlib.suppress(OSError):
        lines = _lines(path)
        if line not in lines:
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_text("".join([*lines, line]))
            temporary.replace(path)


def check_judged(directory: RunDirectory, studies: Mapping[epath.PathLike, Mapping[str, Any]]) -> None:
    """Makes sure that answers are about states of this run.

    Args:
      directory: of the run.
      studies: what was judged, by the file of answers: `run`, `step` and `state`.

    Raises:
      ConfigError: they are not, or this is no run directory.
      DamagedCheckpoint: the checkpoint that they are about is damaged.
      StorageError: the run directory cannot be read.
    """
    directory.read()
    for step in sorted({study["step"] for study in studies.values()}):
        states, known_by = _states(directory, step)
        for path, study in studies.items():
            if study["step"] == step and study["state"] not in states:
                raise ConfigError(
                    f"{path} holds answers about {study['run']}, step {step}, state {study['state'][:12]}, not about "
                    f"{directory.path}, {known_by}; accepted: answers to a page made from this run"
                )


def _states(directory: RunDirectory, step: int) -> tuple[set[str], str]:
    """Digests of the run's states at a step, and in words how they are known."""
    checkpoints = Checkpoints(directory.checkpoints, create=False)
    try:
        steps = checkpoints.steps()
    finally:
        checkpoints.close()
    if step in steps:
        state = Run(directory.path, step).digest()
        return {state}, f"whose checkpoint of that step has state {state[:12]}"
    try:
        pages = [json.loads(line) for line in _lines(directory.path / PAGES)]
        shown = {page["state"] for page in pages if page["step"] == step}
    except OSError as error:
        raise StorageError(f"{directory.path / PAGES} cannot be read: {first_line(error)}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{directory.path / PAGES} is not a list of the pages that were made: {error!r}") from error
    if shown:
        known = ", ".join(sorted(state[:12] for state in shown))
        return shown, f"which has no checkpoint of that step any more and made pages of state {known}"
    has = f"steps {', '.join(map(str, steps))}" if steps else "none"
    return set(), f"which has neither a checkpoint of that step (it has {has}) nor made a page of one"


def _lines(path: epath.Path) -> list[str]:
    # Damaged bytes are no reason to make no page.
    return path.read_bytes().decode(errors="replace").splitlines(keepends=True) if path.exists() else []
