"""Which experiment fits which TPU pod, and what a step costs there as the pod grows: docs/scaling.md.

    pip install 'gen_jax[tpu]'
    python -m benchmarks.scaling_matrix [--experiments vae ddpm] [--chips v5e] [--programs train]

Every experiment's `paper` preset is compiled for 8, 256 and the most chips of each generation, with as many examples a
chip on each (weak scaling). Nothing is measured: memory and collectives are the compiler's, times are rooflines. What
was compiled before is taken from the cache, so that an interrupted run goes on; the table is written after each line.
"""

import dataclasses
import importlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"

import tyro

from gen_jax.errors import GenJaxError
from gen_jax.preflight.data import described
from gen_jax.preflight.report import Preflight, preflight
from gen_jax.preflight.topology import parse_topology

SIZES = {
    "v4": ("2x2x2", "4x8x8", "8x16x16"),
    "v5e": ("2x4", "16x16"),
    "v5p": ("2x2x2", "4x8x8", "16x16x24"),
    "v6e": ("2x4", "16x16"),
    "tpu7x": ("2x2x2", "4x8x8", "16x24x24"),
}
"""8 chips, 256, and the largest that the compiler takes."""

EXAMPLES = {"vae": 512, "gan": 512, "dcgan": 128, "wgan_gp": 64, "ddpm": 64}
"""Of a batch, on each device."""

CHANGES: dict[str, dict[str, Any]] = {
    # Small enough sets of points have fewer examples than a pod has devices.
    "gan": {"data": "mnist"},
}

BEGIN, END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"


@dataclass(frozen=True)
class Options:
    """Options of the matrix."""

    experiments: tuple[str, ...] = tuple(EXAMPLES)
    """Which."""
    chips: tuple[str, ...] = tuple(SIZES)
    """Which generations."""
    sizes: tuple[int, ...] = (0, 1, 2)
    """Which sizes of pods: 0 for 8 chips, 1 for 256, 2 for the largest."""
    precision: str = "bfloat16"
    """What networks compute in."""
    out: Path = Path("docs/scaling.json")
    """Where what was found is kept."""
    document: Path = Path("docs/scaling.md")
    """Where the table goes, between its two marks."""


@dataclass(frozen=True)
class Line:
    """The train step of an experiment on a pod.

    Attributes:
      experiment: its name.
      topology: the pod.
      devices: as JAX counts them.
      batch: over all devices.
      bytes: of memory that each device needs; None where it does not fit.
      available: that it has.
      milliseconds: of the roofline.
      bound: by what.
      share: of the peak of the matrix units that the roofline allows.
      rate: examples per second on the pod.
      sent: bytes that each device sends in a step.
      trouble: why there is nothing of all that, or "".
    """

    experiment: str
    topology: str
    devices: int = 0
    batch: int = 0
    bytes: int | None = None
    available: int = 0
    milliseconds: float = 0.0
    bound: str = ""
    share: float = 0.0
    rate: float = 0.0
    sent: float = 0.0
    trouble: str = field(default="")

    @property
    def cost(self) -> float:
        """Microseconds of a device for each example."""
        return 1e6 * self.devices / self.rate if self.rate else 0.0


def examined(name: str, topology_name: str, options: Options) -> Line:
    """Compiles the train step of an experiment for a pod."""
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    topology = parse_topology(topology_name)
    try:
        devices = topology.devices()
        config = dataclasses.replace(
            experiment.presets["paper"],
            precision=options.precision,
            batch_size=EXAMPLES[name] * len(devices),
            **CHANGES.get(name, {}),
        )
        dataset = described(config)
        # A batch larger than the data is a question to the training, not to the compiler.
        train = dataclasses.replace(dataset.train, size=max(dataset.train.size, config.batch_size))
        found = preflight(
            experiment, config, topology, ["train"], dataset=dataclasses.replace(dataset, train=train), devices=devices
        )
    except GenJaxError as error:
        return Line(name, topology_name, trouble=str(error))
    return line_of(found)


def line_of(found: Preflight) -> Line:
    """What the table says of a preflight."""
    program, available = found.program("train"), found.available or 0
    common = {
        "experiment": found.experiment,
        "topology": found.topology.name,
        "devices": found.devices,
        "batch": found.config.batch_size,
        "available": available,
    }
    if program.memory is None or program.roofline is None:
        return Line(**common, trouble="out of memory")
    return Line(
        **common,
        bytes=program.memory.total,
        milliseconds=1e3 * program.roofline.seconds,
        bound=program.roofline.bound,
        share=program.roofline.share_of_peak,
        rate=program.roofline.examples_per_second,
        sent=program.sent,
    )


def table(lines: list[Line]) -> Iterator[str]:
    """As Markdown; the growth of an example's cost is over that on the smallest pod of the generation."""
    columns = "experiment", "pod", "batch", "memory a device", "step", "bound by", "of the peak", "examples/s", "growth"
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    first: dict[tuple[str, str], float] = {}
    for line in lines:
        if line.trouble:
            yield f"| {line.experiment} | {line.topology} | {line.batch or ''} | {line.trouble} | | | | | |"
            continue
        base = first.setdefault((line.experiment, line.topology.partition(":")[0]), line.cost)
        assert line.bytes is not None
        memory = f"{line.bytes / 2**30:.2f} of {line.available / 2**30:.1f} GiB"
        yield (
            f"| {line.experiment} | {line.topology} | {line.batch:,} | {memory} | {line.milliseconds:.3g} ms | "
            f"{line.bound} | {line.share:.0%} | {line.rate:,.0f} | {line.cost / base - 1:+.1%} |"
        )


def write(lines: list[Line], options: Options) -> None:
    """What was found, and the table of it."""
    options.out.write_text(json.dumps([dataclasses.asdict(line) for line in lines], indent=1) + "\n")
    text = options.document.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    options.document.write_text(before + BEGIN + "\n".join(table(lines)) + "\n" + END + after)


def main(options: Options) -> None:
    stored = json.loads(options.out.read_text()) if options.out.exists() else []
    known = {(line["experiment"], line["topology"]): Line(**line) for line in stored}
    order = [(name, f"{chip}:{shape}") for name in EXAMPLES for chip, shapes in SIZES.items() for shape in shapes]
    for name in options.experiments:
        for chip in options.chips:
            for shape in [SIZES[chip][size] for size in options.sizes if size < len(SIZES[chip])]:
                begun = time.perf_counter()
                line = examined(name, f"{chip}:{shape}", options)
                known[name, line.topology] = line
                print(f"{line.experiment} {line.topology}: {time.perf_counter() - begun:.0f} s", line, flush=True)
                write([known[key] for key in order if key in known], options)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
