"""Damages files of checkpoints at random, and sees what comes back.

    python tests/soak/mutations.py --count 1000 --seed 0

Three steps of a run are saved; each mutation spoils a copy of them (`damage.py`), and the newest intact step is asked
for. A control reads the same files with plain Orbax, and must be seen to restore wrong values: else the mutations would
prove nothing. Exits with 1 if anything is wrong or takes too long, or if the control shows nothing.
"""

import argparse
import collections
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Seconds for a mutation: copying, spoiling, reading twice. The first of a process imports and compiles as well.
LIMIT = 120.0
COLUMNS = ("count", "newest", "older", "WRONG", "HANG", "Orbax right", "Orbax raised", "Orbax wrong")


def in_child(base, first, count, seed):
    """Yields (index, outcome) of mutations done in a process of its own; None, and no more, where that hung or died."""
    variables = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(HERE / "damage.py"), base, *map(str, (first, count, seed))]
    child = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True)
    lines = queue.Queue()

    def read():
        for line in child.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        for index in range(first, first + count):
            try:
                line = lines.get(timeout=LIMIT)
            except queue.Empty:
                line = None
            yield index, line and json.loads(line)
            if line is None:
                return
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(timeout=LIMIT)


def table(outcomes):
    """Lines: the counts by kind of mutation."""
    kinds = collections.defaultdict(collections.Counter)
    for name, ours, plain in outcomes:
        for kind in (name, "all"):
            kinds[kind].update(["count", "WRONG" if ours.startswith("WRONG") else ours, f"Orbax {plain}"])
    yield f"{'mutation':20}" + "".join(f"{column:>14}" for column in COLUMNS)
    for name in sorted(kinds, key=lambda kind: (kind == "all", kind)):
        yield f"{name:20}" + "".join(f"{kinds[name][column]:14}" for column in COLUMNS)


def summary(outcomes, options, elapsed):
    """What was found, as JSON."""
    failures = [
        f"mutation {i} ({name}): {ours}"
        for i, (name, ours, _) in enumerate(outcomes)
        if ours not in ("newest", "older")
    ]
    silent = sum(plain == "wrong" for _, _, plain in outcomes)
    if not silent:
        failures.append("plain Orbax restored nothing wrong, so the mutations prove nothing")
    counts = {
        "mutations": len(outcomes),
        "the newest step came back, unharmed": sum(ours == "newest" for _, ours, _ in outcomes),
        "an older one came back, the newest was set aside": sum(ours == "older" for _, ours, _ in outcomes),
        "wrong": sum(ours.startswith("WRONG") for _, ours, _ in outcomes),
        "hung or died": sum(ours == "HANG" for _, ours, _ in outcomes),
        "plain Orbax: restored wrong values silently": silent,
    }
    return {
        "title": "Mutations of checkpoint files",
        "options": {name: str(value) for name, value in vars(options).items()},
        "counts": counts,
        "seconds": {},
        "failures": failures,
        "elapsed": round(elapsed, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="how many mutations")
    parser.add_argument("--seed", type=int, default=0, help="decides which")
    parser.add_argument("--work", type=Path, help="where summary.json goes (default: nowhere)")
    options = parser.parse_args()
    begun, outcomes = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as base:
        while len(outcomes) < options.count:
            for index, outcome in in_child(base, len(outcomes), options.count - len(outcomes), options.seed):
                outcomes.append(outcome or ("unknown", "HANG", "unknown"))
                if outcomes[-1][1] not in ("newest", "older"):
                    print(f"mutation {index}: {outcomes[-1]}", flush=True)
                if len(outcomes) % 100 == 0:
                    print(f"[{time.perf_counter() - begun:6.0f} s] {len(outcomes)} mutations", flush=True)
    found = summary(outcomes, options, time.perf_counter() - begun)
    print(*table(outcomes), *found["failures"], sep="\n")
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        (options.work / "summary.json").write_text(json.dumps(found, indent=2) + "\n")
    return int(bool(found["failures"]))


if __name__ == "__main__":
    # So that a SIGTERM ends the child as well.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
