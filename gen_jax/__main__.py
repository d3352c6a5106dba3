"""What can be done with a trained run from the shell: `python -m gen_jax sample|evaluate|report|… RUN`.

And how one is trained in several processes of one machine: `python -m gen_jax launch -- COMMAND`.
"""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from gen_jax.errors import ConfigError, GenJaxError, NonFiniteError
from gen_jax.run.directory import RunDirectory
from gen_jax.shell.ending import exit_with
from gen_jax.shell.prepared import prepare, prepared_run

RunDir = Annotated[str, tyro.conf.Positional]

app = tyro.extras.SubcommandApp()


# Commands whose flags depend on the run, or on the experiment: they are read when that is known.


@app.command
def sample(run: RunDir, /) -> None:
    """Draws samples and writes them to a file: `sample RUN --help` lists the flags of that run.

    Args:
        run: A run directory.
    """
    from gen_jax.shell.sample import main

    main([run])


@app.command
def evaluate(run: RunDir, /) -> None:
    """Measures a run, and adds the scores to RUN/scores.jsonl: `evaluate RUN --help` lists the flags of that run.

    Args:
        run: A run directory.
    """
    from gen_jax.shell.evaluate import main

    main([run])


def encode(run: RunDir, /) -> None:
    """Writes the codes of held-out examples to a file."""


def decode(run: RunDir, /) -> None:
    """Turns codes into examples."""


def reconstruct(run: RunDir, /) -> None:
    """Shows held-out examples and below each what encoder and decoder make of it."""


def interpolate(run: RunDir, /) -> None:
    """Leads from each held-out example to the next in the space of codes."""


def log_prob(run: RunDir, /) -> None:
    """Prints log p(x) of held-out examples, in nats."""


for command in (encode, decode, reconstruct, interpolate, log_prob):
    app.command(command)


@app.command
def report(run: RunDir, /, step: int | None = None, data_dir: str | None = None) -> None:
    """Writes RUN/report.html, one page that shows the run: curves, samples, what they are made of, scores.

    Args:
        run: A run directory.
        step: Which checkpoint makes the pictures (default: the newest).
        data_dir: Where its data are, if not where they were during training.
    """
    from gen_jax.reports.report import write_report

    print(write_report(prepared_run(run, step), data_dir))


@app.command
def compare(
    runs: Annotated[tuple[str, ...], tyro.conf.Positional],
    /,
    metric: str = "",
    bootstrap: bool = False,
    out: Path | None = None,
) -> None:
    """Puts runs side by side: a table and curves, with intervals over those that differ in nothing but the seed.

    Args:
        runs: Run directories.
        metric: Whose curves to show, with commas between (default: the first of each data set).
        bootstrap: Take intervals over seeds from resampling them, not from Student's t.
        out: FILE.html for a page with the same.
    """
    from rich.console import Console

    from gen_jax.metrics.intervals import bootstrap_interval, t_interval
    from gen_jax.reports.compare import check_page, compare

    names = [name.strip() for name in metric.split(",") if name.strip()]
    if out is not None:
        check_page(out)
    found = compare(runs, names, bootstrap_interval if bootstrap else t_interval)
    found.print(Console())
    if out is not None:
        print(found.write(out))


@app.command
def hype(
    run: RunDir,
    /,
    images: int | None = None,
    seed: int = 0,
    step: int | None = None,
    data_dir: str | None = None,
    out: Path | None = None,
    answers: tuple[Path, ...] = (),
) -> None:
    """Writes a page on which people tell samples from real images; or scores the answers that it saved.

    Args:
        run: A run directory.
        images: How many a person judges, half of them real (default: 100, or as many as there are).
        seed: Of the samples, of the choice of real images and of their order.
        step: Which checkpoint (default: the newest).
        data_dir: Where its data are, if not where they were during training.
        out: Where to write the page (default: RUN/hype.html).
        answers: Files that the run's pages saved, of one person or several: the scores are printed and added to
            RUN/scores.jsonl.
    """
    from gen_jax.reports.hype import score_answers, write_hype

    if not answers:
        print(write_hype(prepared_run(run, step), images=images, seed=seed, data_dir=data_dir, out=out))
        return
    from gen_jax.shell.evaluate import keep

    keep(RunDirectory(run), score_answers(answers, run))


@app.command
def inception(weights: Path | None = None, any_weights: bool = False) -> None:
    """Converts the weights of Inception-v3 that FID is defined by, once, and keeps them in the cache directory.

    Args:
        weights: The published file (without it: which file that is, or where it is kept once it was converted).
        any_weights: Take other weights of the same architecture; scores by them have another name.
    """
    from gen_jax.metrics.inception import SHA256, convert, missing, stored_at

    stored = stored_at(SHA256)
    if weights is None and not stored.exists():
        raise ConfigError(missing())
    print(stored if weights is None else convert(weights, any_weights))


@app.command
def digest(run: RunDir, /, step: int | None = None) -> None:
    """Prints a hash of the whole state: equal exactly if two runs agree to the bit.

    Args:
        run: A run directory.
        step: Which checkpoint (default: the newest).
    """
    print(prepared_run(run, step).digest())


@app.command
def replay(bundle: Annotated[str, tyro.conf.Positional], /) -> None:
    """Takes a step again that made a NaN or an infinity, and names what is not finite after it; exits with 4.

    Args:
        bundle: What the training named when it stopped: RUN/nonfinite/STEP
    """
    from gen_jax.run.replay import replay

    prepare(Path(bundle).resolve().parent.parent)
    found = replay(bundle)
    print(json.dumps(found, indent=2))
    if found["not_finite"]:
        sys.exit(NonFiniteError.exit_code)


@app.command
def launch(
    command: Annotated[tuple[str, ...], tyro.conf.Positional],
    /,
    processes: int = 2,
    devices: int = 1,
    restarts: int = 0,
) -> None:
    """Runs a command in several processes on this machine's CPU, as a pod would on its hosts; stops all if one fails.

    Args:
        command: After a --, what to run: python -m experiments.vae --preset tiny
        processes: How many processes.
        devices: How many CPU devices each of them has.
        restarts: How often to start all again, from the last checkpoint, after one has crashed or was killed.
    """
    from gen_jax.shell.launch import launch

    sys.exit(launch(command, processes, devices, restarts))


@app.command
def preflight(experiment: RunDir, /) -> None:
    """Compiles an experiment's programs for a TPU pod that is not here, and says what they would need: see --help.

    Args:
        experiment: Its name, the name of its module, or its file; then --topology v5e:16x16 and the like, and all flags
            of the experiment.
    """
    from gen_jax.preflight.command import main

    main([experiment])


def run_preflight(arguments: Sequence[str]) -> None:
    """Reads the flags of `preflight` once the experiment is known."""
    from gen_jax.preflight.command import main

    main(arguments)


def run_sample(arguments: Sequence[str]) -> None:
    """Reads the flags of `sample` once the run is known."""
    from gen_jax.shell.sample import main

    main(arguments)


def run_evaluate(arguments: Sequence[str]) -> None:
    """Reads the flags of `evaluate` once the run is known."""
    from gen_jax.shell.evaluate import main

    main(arguments)


def run_codec(name: str, arguments: Sequence[str]) -> None:
    """Reads the flags of `encode` and its like once the run is known."""
    from gen_jax.shell.codec import main

    main(name, arguments)


CODEC = ("encode", "decode", "reconstruct", "interpolate", "log-prob")
OWN_FLAGS: dict[str, Callable[[Sequence[str]], None]] = {
    "preflight": run_preflight,
    "sample": run_sample,
    "evaluate": run_evaluate,
    **{name: functools.partial(run_codec, name) for name in CODEC},
}


def main() -> None:
    """Runs the command that the command line names."""
    try:
        name, arguments = sys.argv[1] if sys.argv[1:] else "", sys.argv[2:]
        if name in OWN_FLAGS:
            OWN_FLAGS[name](arguments)
            return
        app.cli(prog="python -m gen_jax", description=__doc__)
    except GenJaxError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
