"""All that was asked for, one after the other."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import conduct, machine, public_trainers, startup
from benchmarks.speed.measuring import Worker, WorkerFailed
from benchmarks.speed.options import PUBLIC, STARTUP, Options
from benchmarks.speed.results import Comparison, PublicJob, Results, Started
from benchmarks.speed.workloads import WORKLOADS, Workload
from gen_jax.errors import ConfigError
from gen_jax.host.memory import huge_pages_are_given_on_request


def agreed_device(options: Options, sides: Mapping[str, Mapping[str, Any]]) -> str:
    """ "cpu" or "gpu". Raises ConfigError where the two sides do not have the same."""
    found = {side: told["device"] for side, told in sides.items()}
    wanted = options.device if options.device != "auto" else found["gen_jax"]
    missing = [side for side, device in found.items() if device != wanted]
    if missing:
        side = missing[0]
        raise ConfigError(f"--device is {options.device}, but {side} finds a {found[side]}; try --device cpu")
    if wanted == "cpu" and options.precision == "tensorfloat32":
        raise ConfigError("--precision is tensorfloat32; accepted on a CPU: float32, bfloat16")
    return wanted


def asked_sides(options: Options, names: Sequence[str], threads: int) -> dict[str, dict[str, Any]]:
    """What each side says of itself; of PyTorch only where it is needed."""
    environment = {"JAX_PLATFORMS": "cpu"} if options.device == "cpu" else {}
    found = {}
    for side in ("gen_jax",) if names == [STARTUP] else ("gen_jax", "torch"):
        with Worker(side, threads, environment) as worker:
            found[side] = worker.ask("describe", device=options.device)
    return found


def rules_of(options: Options, device: str) -> conduct.Rules:
    """How to measure."""
    pairs, seconds = options.pairs, options.seconds
    if options.quick:
        pairs, seconds = min(2, pairs), min(0.5, seconds)
    huge_pages = device == "cpu" and huge_pages_are_given_on_request()
    return conduct.Rules(device, options.precision, pairs, seconds, options.quick, huge_pages)


def measure(options: Options, names: Sequence[str], command: str, say: conduct.Say) -> Iterator[Results]:
    """Measures, and gives all that was found so far at the beginning and after each workload.

    What fails is noted, and the rest goes on.

    Args:
      options: as on the command line.
      names: of what is to be measured.
      command: to be told with the results.
      say: is told how it goes.

    Raises:
      ConfigError: the two sides do not have the same device.
    """
    threads = options.threads or machine.cores()
    sides = asked_sides(options, names, threads)
    device = agreed_device(options, sides)
    rules = rules_of(options, device)
    size = public_trainers.Size(epochs=1, steps=4, images=1_000) if options.quick else public_trainers.Size()
    described = machine.describe(sides, threads)
    comparisons: list[Comparison] = []
    jobs: list[PublicJob] = []
    started: list[Started] = []
    failed: dict[str, str] = {}
    ceiling: dict[str, float] = {}

    def so_far() -> Results:
        found = [*comparisons], [*jobs], [*started], {**failed}, {**ceiling}
        return Results(described, [command], device, options.precision, *found)

    yield so_far()
    for name in names:
        say(f"{name} …")
        # Caches of its own, so that every workload is compiled anew.
        with tempfile.TemporaryDirectory(prefix="gen_jax-speed-") as temporary:
            directory = Path(temporary)
            try:
                if name in WORKLOADS:
                    start = conduct.starter(threads, directory, device)
                    ceiling = ceiling or conduct.ceiling(start, rules)
                    images = stored_images(WORKLOADS[name], directory, options.data_dir)
                    comparisons.append(conduct.compare(start, WORKLOADS[name], images, rules, say))
                elif name in PUBLIC:
                    place = public_trainers.Place(directory, device, options.data_dir)
                    jobs.append(public_trainers.JOBS[name](size, min(rules.pairs, 3), place))
                else:
                    started += startups(startup.COMMANDS[: 1 if options.quick else None], directory, device)
            except WorkerFailed as failure:
                failed[name] = str(failure)
                say(f"{name}: {failure}")
        yield so_far()


def startups(commands: Sequence[str], directory: Path, device: str) -> list[Started]:
    """Of command lines, each with caches of its own, and of what tells how they are used."""
    found = [startup.helped(command) for command in startup.HELP]
    return found + [startup.started(command, directory / str(n), device) for n, command in enumerate(commands)]


def stored_images(workload: Workload, directory: Path, data_dir: str | None) -> Path:
    """A file of the images that both sides read: uint8 (n, height, width, channels)."""
    path = directory / "images.npy"
    height, width, channels = workload.shape
    if data_dir is None:
        images = np.random.default_rng(0).integers(0, 256, (workload.images, height, width, channels), np.uint8)
    else:
        name = {(28, 1): "mnist", (32, 1): "fashion_mnist", (32, 3): "cifar10"}[height, channels]
        images = public_trainers.loaded_images(name, data_dir, height)[: workload.images]
    np.save(path, images)
    return path
