"""Every soak, one after another, and one table at the end. Exits with 1 if anything was not as it should be.

python tests/soak/all.py --work DIRECTORY
"""

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro
from report import end_tidily_on_sigterm, table
from rich.console import Console

HERE = Path(__file__).parent


@dataclass
class Options:
    """What to do."""

    kills: int = 300
    """SIGKILLs at random moments."""
    inside_save: int = 100
    """How many of them inside a save."""
    mutations: int = 1000
    """Damages done to checkpoints."""
    preemptions: int = 50
    """SIGTERMs."""
    processes: int = 5
    """Kills of one of two processes, of each kind."""
    seed: int = 0
    """Decides everything but the timing of the machine."""
    jobs: int = 1
    """Chains of kills at a time."""
    work: Path | None = None
    """Where runs and summaries go (default: a new temporary directory)."""


def end(process: subprocess.Popen) -> None:
    """Ends a soak such that it can end what it started."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(options: Options) -> int:
    """Runs all; the exit code."""
    work = Path(options.work or tempfile.mkdtemp(prefix="soak-")).resolve()
    seed = ("--seed", options.seed)
    arguments = {
        "faults": (),
        "processes": ("--count", options.processes, *seed),
        "preemptions": ("--count", options.preemptions, *seed),
        "mutations": ("--count", options.mutations, *seed),
        "kills": ("--kills", options.kills, "--inside-save", options.inside_save, "--jobs", options.jobs, *seed),
    }
    codes = {}
    for name, given in arguments.items():
        (work / name).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, HERE / f"{name}.py", *given, "--work", work / name]
        # In a session of its own, so that Ctrl-C reaches it once, from here.
        process = subprocess.Popen([str(part) for part in command], start_new_session=True)
        try:
            codes[name] = process.wait()
        finally:
            if process.poll() is None:
                end(process)
    console = Console(width=120)
    for name, code in codes.items():
        summary = work / name / "summary.json"
        found = json.loads(summary.read_text()) if summary.exists() else {}
        if {"title", "counts", "seconds", "failures", "elapsed"} <= found.keys():
            console.print(table(found["title"], found))
            for failure in found["failures"]:
                console.print(failure, style="red", markup=False)
        console.print(f"{name}: {'as it should be' if code == 0 else f'FAILED, exit code {code}'}")
    return int(any(codes.values()))


if __name__ == "__main__":
    end_tidily_on_sigterm()
    sys.exit(main(tyro.cli(Options, description=__doc__)))
