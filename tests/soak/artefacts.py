"""What a finished run leaves, and in what another run's differ from it."""

import hashlib
import json
import shutil
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import runs
from report import Failure

_loading = threading.Lock()


@dataclass(frozen=True)
class Artefacts:
    """All that a finished run leaves and that has to be the same, to the byte."""

    step: int
    digest: str
    leaves: dict[str, str]
    log: bytes
    grids: dict[str, bytes]

    @staticmethod
    def of(directory: Path) -> "Artefacts":
        """Of a run directory; raises whatever keeps it from being loaded."""
        import numpy as np

        import gen_jax
        from gen_jax.training.state import leaves_by_name

        with _loading:
            run = gen_jax.load(directory)
            # A second opinion on the digest, which also says which leaf it is that differs.
            arrays = {name: np.ascontiguousarray(leaf) for name, leaf in leaves_by_name(run.state).items()}
            leaves = {
                name: f"{array.dtype}{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
                for name, array in arrays.items()
            }
            digest = run.digest()
        grids = {path.name: path.read_bytes() for path in sorted((directory / "samples").glob("*.png"))}
        return Artefacts(run.step, digest, leaves, (directory / "metrics.jsonl").read_bytes(), grids)


def differences(expected: Artefacts, directory: Path) -> list[str]:
    """What a finished run has otherwise than expected, a line each; empty if nothing."""
    try:
        found = Artefacts.of(directory)
    except Exception as error:
        return [f"it cannot be loaded: {error!r}"]
    lines = []
    if found.step != expected.step:
        lines.append(f"step: {found.step}, not {expected.step}")
    if found.digest != expected.digest:
        lines.append(f"digest: {found.digest}, not {expected.digest}")
    lines += [f"leaf {name} differs" for name in unequal(found.leaves, expected.leaves)]
    lines += log_differences(expected.log, found.log)
    return lines + [f"grid {name} differs or is missing" for name in unequal(found.grids, expected.grids)]


def unequal(found: dict[str, object], expected: dict[str, object]) -> list[str]:
    """Keys whose values differ, or that only one has."""
    return sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))


def log_differences(expected: bytes, found: bytes) -> list[str]:
    """Lines of metrics.jsonl that are missing, there more than once, not wanted, or other than expected."""
    if found == expected:
        return []
    try:
        want, have = ([json.loads(line) for line in log.splitlines()] for log in (expected, found))
        counts = Counter((line["step"], line["split"]) for line in have)
    except (ValueError, KeyError) as error:
        return [f"log: it cannot be read: {error!r}"]
    wanted = {(line["step"], line["split"]): line for line in want}
    lines = [f"log: step {step} {split} is missing" for step, split in wanted if not counts[step, split]]
    lines += [f"log: step {step} {split} is there {n} times" for (step, split), n in counts.items() if n > 1]
    lines += [f"log: step {step} {split} is not wanted" for step, split in counts if (step, split) not in wanted]
    for line in have:
        if (at := (line["step"], line["split"])) in wanted and line != wanted[at]:
            lines.append(f"log: step {at[0]} {at[1]} is {line}, not {wanted[at]}")
    return lines or ["log: the same lines in other bytes"]


def must_equal(expected: Artefacts, directory: Path) -> None:
    """Raises Failure that names what differs."""
    if lines := differences(expected, directory):
        raise Failure("differs\n" + "\n".join(lines[:40]))


def reference(work: Path, command: list[str], directory: Path) -> tuple[Artefacts, float, float]:
    """(artefacts, seconds to the first step, seconds in all) of an unbroken run on one device, compiled before."""
    for attempt in ("compiling", "again"):
        output = directory.with_name(f"{directory.name}-{attempt}.txt")
        shutil.rmtree(directory, ignore_errors=True)
        with runs.Running(command, runs.environment(work, runs.ONE), output) as running:
            started = running.seconds if running.wait_for_step() else 0.0
            runs.expect(running, 0)
            total = running.seconds
    return Artefacts.of(directory), started, total
