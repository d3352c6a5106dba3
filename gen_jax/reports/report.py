"""`report.html` of a run: gathers everything there is of it and has the page made."""

import dataclasses
import inspect
import shlex
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from etils import epath

from gen_jax.config import Config, flag, shown
from gen_jax.data import Dataset
from gen_jax.errors import GenJaxError, StorageError
from gen_jax.experiment import Experiment, find
from gen_jax.loaded import Run
from gen_jax.metrics.evenly import thinned
from gen_jax.metrics.score import read_scores
from gen_jax.reports.pictures import illustrations, neighbours
from gen_jax.show.grid import compared, samples_for
from gen_jax.show.grid import picture as grid_of
from gen_jax.show.page import count, write_page
from gen_jax.show.pictures import picture, read_png, reduced
from gen_jax.show.report_page import Grid, Option, Report, report_page
from gen_jax.show.words import worded_example
from gen_jax.training.distributed import is_leader
from gen_jax.training.metrics_log import logged
from gen_jax.training.storage import first_line

# The evolution of the samples has at most so many steps, and so many bytes of pictures.
MOST_GRIDS = 40
MOST_BYTES = 12 << 20


def write_report(run: Run, data_dir: str | None = None, dataset: Dataset | None = None) -> epath.Path:
    """Writes RUN/report.html, at once, and returns its path. All processes of a run have to call it; one writes.

    Args:
      run: its checkpoint says at which step the pictures are made.
      data_dir: where the data are, if not where they were during training.
      dataset: the data, where they are loaded already. Where they are not to be had, the page says what is missing.

    Raises:
      StorageError: the disk does not take it.
    """
    html = report_page(gather(run, data_dir, dataset))
    path = run.directory.report
    try:
        return write_page(path, html) if is_leader() else path
    except OSError as error:
        raise StorageError(f"{path} could not be written: {first_line(error)}") from error


def report_of(directory: epath.PathLike, dataset: Dataset) -> epath.Path:
    """Writes the page of the run in a directory, whose data are loaded already; raises as `write_report`."""
    return write_report(Run(directory), dataset=dataset)


def gather(run: Run, data_dir: str | None = None, dataset: Dataset | None = None) -> Report:
    """Everything that the page of a run shows; arguments as for `write_report`."""
    stored = run.directory.read()
    experiment = find(stored["experiment"])
    missing = []
    if dataset is None:
        try:
            dataset = run.load_data(data_dir)
        except GenJaxError as error:
            missing.append(f"The data could not be read: {error}.")
    grids = list(sample_grids(run)) or [(run.step, new_grid(run, dataset))]
    pictures, left_out = illustrations(run, dataset)
    about = inspect.cleandoc(experiment.module.__doc__ or "")
    return Report(
        name=f"{experiment.name} on {run.info.name}",
        summary=about.partition("\n")[0],
        about=about,
        facts=facts(run, stored["versions"]),
        command=shlex.join(command(experiment, run.config)),
        evaluate=shlex.join(["python", "-m", "gen_jax", "evaluate", str(run.directory.path), "--metrics", "all"]),
        options=options(experiment, run.config),
        metrics=metrics(run),
        grids=[Grid(step, picture(reduced(image))) for step, image in grids],
        illustrations=pictures,
        neighbours=None if dataset is None else neighbours(run, dataset, *grids[-1]),
        missing=missing + left_out,
        scores=read_scores(run.directory.scores),
        reports=run.game.reports,
        grids_are_drawings=not run.info.is_image,
    )


def command(experiment: Experiment, config: Config) -> list[str]:
    """The words of the command line that asks for a configuration: its preset, and all that differs from that."""
    module, file = experiment.identity["module"], experiment.identity["file"]
    words = ["python", file] if file else ["python", "-m", module]
    preset = experiment.preset_of(config)
    if preset.preset != "default":
        words += typed("preset", preset.preset)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name != "preset" and value != getattr(preset, field.name):
            words += typed(field.name, value)
    return words


def typed(name: str, value: Any) -> list[str]:
    """A field as words of the command line."""
    if isinstance(value, bool):
        return [flag(name) if value else flag(f"no_{name}")]
    return [flag(name), *(map(str, value) if isinstance(value, tuple) else [str(value)])]


def options(experiment: Experiment, config: Config) -> list[Option]:
    """Every field of a configuration, beside the value it has in the preset."""
    preset = experiment.preset_of(config)
    names = [field.name for field in dataclasses.fields(config)]
    return [Option(flag(name), shown(getattr(config, name)), shown(getattr(preset, name))) for name in names]


def facts(run: Run, versions: dict[str, str]) -> dict[str, str]:
    """What a run is, in terms and words."""
    config, info, game = run.config, run.info, run.game
    sizes = {net: sum(leaf.size for leaf in jax.tree.leaves(tree)) for net, tree in run.state.params.items()}
    passes = "" if game.sampling.steps == 1 else f", {count(game.sampling.steps)} calls of a network"
    found = {
        "Data": f"{info.name}: {count(info.train_size)} training and {count(info.held_out_size)} held-out examples",
        "Example": worded_example(info.fields, info.streams),
        "Trained": f"{count(run.step)} of {count(config.steps)} steps, batches of {count(config.batch_size)}",
        "Parameters": ", ".join(f"{net} {count(size)}" for net, size in sizes.items()),
        "Weights that sample": f"averages of {', '.join(game.averages)}" if game.averages else "the last",
        "Sampler": game.sampling.sampler + passes,
    }
    if game.density is not None:
        found["Likelihood of"] = game.density.observed
    return found | {
        "Precision": config.precision,
        "Seed": str(config.seed),
        "Data fingerprint": info.fingerprint,
        "Versions": ", ".join(f"{package} {version}" for package, version in versions.items()),
    }


def new_grid(run: Run, dataset: Dataset | None) -> np.ndarray:
    """The picture of samples of a run that has stored none."""
    samples = run.sample(samples_for(run.info.x, run.config.grid_samples))
    real, centres = (None, None) if dataset is None else (compared(dataset), dataset.centres)
    return grid_of(samples, run.info.x, real, centres)


def metrics(run: Run) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl up to the run's step, with what in them is a number; none where it cannot be read."""
    try:
        found = logged(run.directory.path / "metrics.jsonl")
    except OSError:
        return []
    return [{"step": line.step, "split": line.split, **line.values} for line in found if line.step <= run.step]


def sample_grids(run: Run) -> Iterator[tuple[int, np.ndarray]]:
    """Step and pixels of the stored sample grids up to the run's step, evenly chosen where there are many."""
    directory = run.directory.path / "samples"
    found = sorted(directory.glob("*.png")) if directory.exists() else []
    paths = [path for path in found if path.stem.isdecimal() and int(path.stem) <= run.step]
    largest = max((path.stat().length for path in paths), default=1)
    for path in thinned(paths, min(MOST_GRIDS, max(2, MOST_BYTES // largest))):
        try:
            yield int(path.stem), read_png(path.read_bytes())
        except (OSError, SyntaxError):
            # Damaged: Pillow raises either.
            continue
