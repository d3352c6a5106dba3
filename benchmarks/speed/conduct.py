"""One workload on both sides: PyTorch's modes by themselves, then the best of them and gen_jax in turn."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.speed.measuring import Worker, WorkerFailed, alone, alternate
from benchmarks.speed.results import Comparison, Cost, Tried
from benchmarks.speed.torch_modes import COMPILED, EAGER, Mode, modes
from benchmarks.speed.workloads import Workload
from gen_jax.host.memory import HUGE_PAGES, TUNABLES

Say = Callable[[str], None]


class Asked(Protocol):
    """A worker, or what stands for one in a test."""

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """Its answer."""
        ...

    def run(self, steps: int) -> float:
        """Seconds that so many steps take."""
        ...


class Start(Protocol):
    """Starts workers."""

    def __call__(self, side: str, huge_pages: bool = False) -> AbstractContextManager[Asked]:
        """A new worker of a side; on a CPU perhaps with memory in pages of 2 MiB."""
        ...


@dataclass(frozen=True)
class Rules:
    """How to measure.

    Attributes:
      device: "cpu" or "gpu".
      precision: "float32", "tensorfloat32" or "bfloat16".
      pairs: of turns.
      seconds: that a turn takes.
      quick: PyTorch's two plain modes alone, and no check of what is compiled.
      huge_pages: whether this machine has pages of 2 MiB for those who ask. PyTorch's best mode is tried with them too.
    """

    device: str
    precision: str
    pairs: int
    seconds: float
    quick: bool = False
    huge_pages: bool = False


def starter(threads: int, caches: Path, device: str) -> Start:
    """Starts workers whose compilers keep what they make under `caches`, and share a card where there is one."""
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    if device == "cpu":
        environment["JAX_PLATFORMS"] = "cpu"

    def start(side: str, huge_pages: bool = False) -> Worker:
        return Worker(side, threads, {**environment, TUNABLES: HUGE_PAGES} if huge_pages else environment)

    return start


def build(worker: Asked, workload: Workload, images: Path, rules: Rules, mode: Mode = EAGER) -> dict[str, Any]:
    """Has a worker build the workload and take its first step."""
    return worker.ask(
        "build",
        workload=workload.as_json(),
        images=str(images),
        device=rules.device,
        precision=rules.precision,
        mode=mode.as_json(),
    )


def stepping_peak(found: dict[str, Any]) -> int:
    """Of a worker's answer: what the accelerator held, or what was resident."""
    return found["accelerator"] or found["stepping"]


def asked(worker: Asked, what: str) -> tuple[float | None, str]:
    """A number, and why there is none where the worker could not find it."""
    try:
        return worker.ask(what)["value"], ""
    except WorkerFailed as failure:
        return None, f"{what}: {failure}"


def try_mode(start: Start, workload: Workload, images: Path, rules: Rules, mode: Mode) -> tuple[Tried, float | None]:
    """One of PyTorch's modes by itself, and the operations of a step where they can be counted."""
    with start("torch", mode.huge_pages) as worker:
        try:
            first = build(worker, workload, images, rules, mode)["seconds"]
            worker.run(1)
            worker.ask("watch")
            step = alone(worker, seconds=rules.seconds)
            found = worker.ask("memory")
            spent = Cost(step, first, stepping_peak(found), found["process"])
        except WorkerFailed as failure:
            return Tried(mode.name, reason=f"not supported: {failure}"), None
        flops, why = asked(worker, "flops")
        apart = None
        if mode == COMPILED and not rules.quick:
            apart, why = asked(worker, "disagreement")
    return Tried(mode.name, spent, why, apart), flops


def try_modes(
    start: Start, workload: Workload, images: Path, rules: Rules, say: Say
) -> tuple[list[tuple[Tried, Mode]], float | None]:
    """All of PyTorch's modes that may be the best, one after the other, and the operations of a step."""
    convolutional, accelerator = workload.is_convolutional, rules.device == "gpu"
    ways = modes(convolutional=convolutional, trains=not workload.samples, accelerator=accelerator)
    tried: list[tuple[Tried, Mode]] = []
    flops = None

    def attempt(mode: Mode) -> float | None:
        one, counted = try_mode(start, workload, images, rules, mode)
        tried.append((one, mode))
        took = f"{1e3 * one.cost.step:,.2f} ms a step" if one.cost else one.reason
        say(f"{workload.name}: PyTorch {mode.name}: {took}")
        return counted

    for mode in [EAGER, COMPILED] if rules.quick else ways:
        flops = attempt(mode) or flops
    if rules.huge_pages and not rules.quick and any(one.cost for one, _ in tried):
        attempt(best_of(tried)[1].with_huge_pages())
    return tried, flops


def best_of(tried: Sequence[tuple[Tried, Mode]]) -> tuple[Cost, Mode]:
    """The quickest.

    Raises:
      WorkerFailed: none could be run; with the reason of the first.
    """
    able = [(one.cost, mode) for one, mode in tried if one.cost is not None]
    if not able:
        raise WorkerFailed(tried[0][0].reason)
    return min(able, key=lambda one: one[0].step)


def compare(start: Start, workload: Workload, images: Path, rules: Rules, say: Say = lambda line: None) -> Comparison:
    """The workload on both sides.

    Args:
      start: starts workers; their caches are empty.
      workload: what they do.
      images: a file of uint8 (n, height, width, channels).
      rules: how to measure.
      say: is told how it goes.

    Raises:
      WorkerFailed: gen_jax, or every mode of PyTorch, failed; or the two do not have the same parameters.
    """
    tried, flops = try_modes(start, workload, images, rules, say)
    their_cold, best = best_of(tried)
    # Both sides' first processes compile; those that are paired find what the first have kept.
    with start("gen_jax") as compiling:
        our_first = build(compiling, workload, images, rules)["seconds"]
        our_process = compiling.ask("memory")["process"]
    with start("gen_jax") as ours, start("torch", best.huge_pages) as theirs:
        our_build = build(ours, workload, images, rules)
        their_build = build(theirs, workload, images, rules, best)
        same_parameters(our_build["parameters"], their_build["parameters"])
        for worker in (ours, theirs):
            worker.run(1)
            worker.ask("watch")
        pairs = alternate(ours, theirs, pairs=rules.pairs, seconds=rules.seconds)
        our_memory, their_memory = ours.ask("memory"), theirs.ask("memory")
    our_cost = Cost(
        step=statistics.median(pairs.ours),
        first=our_first,
        stepping=stepping_peak(our_memory),
        process=max(our_process, our_memory["process"]),
        again=our_build["seconds"],
    )
    their_cost = Cost(
        step=statistics.median(pairs.theirs),
        first=their_cold.first,
        stepping=stepping_peak(their_memory),
        process=max(their_cold.process, their_memory["process"]),
        again=their_build["seconds"],
    )
    say(f"{workload.name}: gen_jax {1e3 * our_cost.step:,.2f} ms a step, {pairs.ratio:.2f}x PyTorch {best.name}")
    parameters = sum(our_build["parameters"].values())
    return Comparison(
        workload.name,
        workload.title,
        workload.examples,
        parameters,
        best.name,
        pairs,
        our_cost,
        their_cost,
        [one for one, _ in tried],
        flops,
    )


def same_parameters(ours: dict[str, int], theirs: dict[str, int]) -> None:
    """Raises WorkerFailed where a network has another number of parameters on the other side."""
    if ours != theirs:
        raise WorkerFailed(f"the networks differ: gen_jax has {ours} parameters, PyTorch {theirs}")


def ceiling(start: Start, rules: Rules) -> dict[str, float]:
    """Floating-point operations a second of a product of large matrices, by side."""
    size = 8192 if rules.device == "gpu" else 2048
    with start("gen_jax") as ours, start("torch") as theirs:
        for worker in (ours, theirs):
            worker.ask("product", size=size, device=rules.device, precision=rules.precision)
        pairs = alternate(ours, theirs, pairs=rules.pairs, seconds=rules.seconds)
    operations = 2.0 * size**3
    return {"gen_jax": operations / min(pairs.ours), "PyTorch": operations / min(pairs.theirs)}
