"""How the cost of a training step grows: time and memory against batch, image, width and data set, gen_jax alone.

Each point is a process of its own. Every curve is a straight line where both axes are logarithmic, if the cost is a
power of what grows; the exponents are fitted. Time and memory are those of one image of a batch: with exponent 0 a
larger batch costs in proportion, below 0 less than that.
"""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.speed import conduct, machine
from benchmarks.speed.measuring import WorkerFailed, alone
from benchmarks.speed.tables import NONE, Shown, markdown, print_tables, write_section
from benchmarks.speed.workloads import DDPM, VAE, WORKLOADS, Workload, chosen
from gen_jax.errors import ConfigError

Scaled = Callable[[Workload, float], Workload]


@dataclass(frozen=True)
class Options:
    """What is measured."""

    workloads: str = "vae_mlp,dcgan,ddpm_small"
    """Names of workloads that train, with commas between."""
    axes: str = ""
    """Of batch, pixels, width, images, with commas between (default: all)."""
    seconds: float = 1.0
    """What a turn takes."""
    device: str = "cpu"
    """cpu or gpu."""
    out: Path = Path("runs/speed/growth.json")
    """Where the points go as JSON."""
    docs: Path | None = Path("docs/performance.md")
    """The file whose table is to be written anew."""
    plot: Path = Path("docs/images/cost-growth.png")
    """Where the plot goes."""


@dataclass(frozen=True)
class Axis:
    """Something that grows.

    Attributes:
      title: as it is shown.
      values: of it.
      scaled: (workload, value) -> the workload with that much of it.
    """

    title: str
    values: Sequence[float]
    scaled: Scaled


def with_side(workload: Workload, pixels: float) -> Workload:
    """The workload on square images of so many pixels."""
    side = round(pixels**0.5)
    return dataclasses.replace(workload, shape=(side, side, workload.shape[2]))


def with_width(workload: Workload, factor: float) -> Workload:
    """The workload with networks so many times as wide."""
    method = workload.method
    if isinstance(method, DDPM):
        wider: Any = dataclasses.replace(method, channels=round(factor * method.channels))
    elif isinstance(method, VAE) and method.network == "mlp":
        wider = dataclasses.replace(method, features=tuple(round(factor * width) for width in method.features))
    else:
        wider = dataclasses.replace(method, width=round(factor * method.width))
    return dataclasses.replace(workload, method=wider)


AXES = {
    "batch": Axis(
        "images in a batch",
        (8, 16, 32, 64, 128, 256),
        lambda workload, value: dataclasses.replace(workload, batch_size=int(value)),
    ),
    "pixels": Axis("pixels of an image", (256, 1024, 4096), with_side),
    "width": Axis("width of the networks, as a multiple", (0.5, 1, 2, 4), with_width),
    "images": Axis(
        "images in the data set",
        (1_000, 10_000, 100_000),
        lambda workload, value: dataclasses.replace(workload, images=int(value)),
    ),
}


@dataclass(frozen=True)
class Curve:
    """One workload along one axis.

    Attributes:
      workload: its name.
      axis: its name.
      values: of the axis.
      seconds: of a step, for one image.
      bytes: that training added to the process at its peak, for one image of a batch.
    """

    workload: str
    axis: str
    values: Sequence[float]
    seconds: Sequence[float]
    bytes: Sequence[float]


def exponent(values: Sequence[float], costs: Sequence[float]) -> float:
    """The power of the values that fits the costs best, by least squares of the logarithms; NaN of a single one."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0]) if len(values) > 1 else float("nan")


def point(start: conduct.Start, workload: Workload, rules: conduct.Rules) -> tuple[float, float]:
    """Seconds and bytes for one image.

    Raises:
      WorkerFailed: it cannot be run.
    """
    with tempfile.TemporaryDirectory() as directory:
        images = Path(directory, "images.npy")
        np.save(images, np.random.default_rng(0).integers(0, 256, (workload.images, *workload.shape), np.uint8))
        # What the compiler leaves in memory is not the workload's: another process compiles.
        with start("gen_jax") as worker:
            conduct.build(worker, workload, images, rules)
        with start("gen_jax") as worker:
            conduct.build(worker, workload, images, rules)
            worker.run(1)
            worker.ask("watch")
            step = alone(worker, seconds=rules.seconds)
            found = worker.ask("memory")
    # Never nothing, which has no logarithm.
    taken = max(found["accelerator"] or found["taken"], 1)
    return step / workload.examples, taken / workload.examples


def curve(start: conduct.Start, workload: Workload, name: str, rules: conduct.Rules, say: conduct.Say) -> Curve:
    """The points along one axis; what cannot be run, such as a batch that does not fit, is left out and said."""
    found: list[tuple[float, float, float]] = []
    for value in AXES[name].values:
        try:
            seconds, taken = point(start, AXES[name].scaled(workload, value), rules)
        except WorkerFailed as failure:
            say(f"{workload.name}, {AXES[name].title} {value:g}: {failure}")
            continue
        say(f"{workload.name}, {AXES[name].title} {value:g}: {1e3 * seconds:.3g} ms, {taken / 1e6:.3g} MB an image")
        found.append((value, seconds, taken))
    values, seconds_found, bytes_found = zip(*found, strict=True) if found else ((), (), ())
    return Curve(workload.name, name, values, seconds_found, bytes_found)


def table(curves: Sequence[Curve]) -> Shown:
    """A row a curve."""
    head = ["workload", "what grows", "from", "to", "time, exponent", "memory, exponent", "ms an image", "MB an image"]
    rows = []
    for one in curves:
        if not one.values:
            rows.append([one.workload, AXES[one.axis].title, *[NONE] * 6])
            continue
        # Adding nothing makes a zero of minus zero.
        powers = [f"{round(exponent(one.values, costs), 2) + 0.0:+.2f}" for costs in (one.seconds, one.bytes)]
        ends = [f"{one.values[0]:,g}", f"{one.values[-1]:,g}"]
        milliseconds = f"{1e3 * one.seconds[0]:.3g} to {1e3 * one.seconds[-1]:.3g}"
        megabytes = f"{one.bytes[0] / 1e6:.3g} to {one.bytes[-1] / 1e6:.3g}"
        rows.append([one.workload, AXES[one.axis].title, *ends, *powers, milliseconds, megabytes])
    notes = [
        "Time and memory are those of a training step for one image of a batch; memory is what training added to the "
        "process at its peak, data set, weights and optimizer included."
    ]
    return Shown("How cost grows", head, rows, notes)


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Four panels, an axis each; every curve as a multiple of its first point, time solid and memory dashed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(10, 7), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    names = list(dict.fromkeys(one.workload for one in curves))
    colours = dict(zip(names, ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b"), strict=False))
    for panel, (name, axis) in zip(figure.subplots(2, 2).flat, AXES.items(), strict=True):
        for one in (one for one in curves if one.axis == name and one.values):
            for costs, style in ((one.seconds, "o-"), (one.bytes, "s--")):
                relative = [cost / costs[0] for cost in costs]
                panel.plot(one.values, relative, style, color=colours[one.workload], markersize=4, linewidth=1.5)
        panel.set_xscale("log", base=10 if name == "images" else 2)
        panel.set_yscale("log", base=2)
        low, high = panel.get_ylim()
        # Of what hardly changes, no more than that is to be seen.
        panel.set_ylim(min(low, 0.4), max(high, 2.5))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.set_xticks(axis.values, [f"{value:,g}" for value in axis.values])
        panel.set_xlim(axis.values[0] / 1.2, axis.values[-1] * 1.2)
        panel.minorticks_off()
        panel.axhline(1.0, color="grey", linewidth=0.8)
        panel.grid(True, alpha=0.3)
        panel.set_xlabel(axis.title)
        panel.set_ylabel("cost of an image, first point = 1")
    handles = [figure.axes[0].plot([], [], "-", color=colours[name], label=name)[0] for name in names]
    for label, style in (("time", "o-"), ("memory", "s--")):
        handles += figure.axes[0].plot([], [], style, color="black", label=label, markersize=4)
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(path)


def chosen_axes(names: str) -> list[str]:
    """The axes asked for. Raises ConfigError for one that is not known."""
    try:
        return chosen(names, AXES)
    except ConfigError as error:
        raise ConfigError(str(error).replace("--workloads", "--axes")) from error


def main(options: Options, command: str) -> None:
    """Measures, draws and writes; `command` is told with what was found."""
    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    trains = {name: workload for name, workload in WORKLOADS.items() if not workload.samples}
    names, axes = chosen(options.workloads, trains), chosen_axes(options.axes)
    rules = conduct.Rules(options.device, "float32", 1, options.seconds)
    with tempfile.TemporaryDirectory(prefix="gen_jax-growth-") as caches:
        start = conduct.starter(machine.cores(), Path(caches), options.device)
        with start("gen_jax") as worker:
            described = machine.describe({"gen_jax": worker.ask("describe", device=options.device)}, 0)
        curves = [curve(start, trains[name], axis, rules, say) for axis in axes for name in names]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    stored = {"machine": described, "curves": [dataclasses.asdict(one) for one in curves]}
    options.out.write_text(json.dumps(stored, indent=1) + "\n")
    draw(curves, options.plot)
    print_tables(console, [table(curves)])
    if options.docs is not None:
        above = [f"- {what}: {value}" for what, value in described.items()]
        write_section(options.docs, "growth", markdown([table(curves)], [*above, f"- command: `{command}`"]))
    say(f"points   {options.out}")
    say(f"plot     {options.plot}")
