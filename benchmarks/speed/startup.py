"""How long a command line takes to its first step and to its first samples, with empty caches and with full ones."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.speed.measuring import WorkerFailed
from benchmarks.speed.results import Started
from gen_jax.host.memory import TUNABLES

COMMANDS = tuple(
    f"experiments.{name} --preset {preset}" for preset in ("tiny", "default") for name in ("vae", "dcgan", "ddpm")
)
HELP = ("experiments.vae --help", "gen_jax --help")


def begin(command: str, run: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """{"first step": seconds, "first samples": seconds} from the start of Python; the run has one step.

    Raises:
      WorkerFailed: the command failed, or printed no step.
    """
    begun, wall = time.perf_counter(), time.time()
    arguments = [*command.split(), "--steps", "1", "--no-report", "--run-dir", str(run)]
    found: dict[str, float] = {}
    said = ""
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said = line.strip() or said
            if line.startswith("step 1/1"):
                found.setdefault("first step", time.perf_counter() - begun)
    grids = sorted((run / "samples").glob("*.png"))
    if process.returncode or "first step" not in found or not grids:
        raise WorkerFailed(f"{command} ended with code {process.returncode}: {said}")
    return {**found, "first samples": grids[0].stat().st_mtime - wall}


def started(command: str, directory: Path, device: str) -> Started:
    """Runs a command with empty caches, and again with what it has left in them.

    Args:
      command: without `python -m`.
      directory: for its runs and its caches.
      device: "cpu" or "gpu".
    """
    # Where compiled programs are kept, and what becomes of freed memory, is the command's own business, not that of who
    # measures it.
    given = {name for name in os.environ if name.startswith("JAX_")} | {TUNABLES}
    environment = {name: value for name, value in os.environ.items() if name not in given}
    environment |= {"GEN_JAX_CACHE": str(directory / "cache"), "XDG_CACHE_HOME": str(directory / "cache")}
    if device == "cpu":
        environment["JAX_PLATFORMS"] = "cpu"
    cold, warm = (begin(command, directory / name, environment) for name in ("cold", "warm"))
    return Started(command, cold, warm)


def helped(command: str, times: int = 3) -> Started:
    """How long a command takes to say what it can do: at first, and at best."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", *command.split()], capture_output=True, check=True)
        seconds.append(time.perf_counter() - begun)
    return Started(command, {"done": seconds[0]}, {"done": min(seconds)})
