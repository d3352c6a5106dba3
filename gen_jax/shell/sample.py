"""`python -m gen_jax sample RUN`: draws samples and writes them to a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gen_jax.errors import ConfigError
from gen_jax.shell.of_run import parse_for_run
from gen_jax.shell.prepared import prepared_run
from gen_jax.show.grid import picture, write_png


@dataclass(frozen=True)
class SampleFlags:
    """Draws samples and writes them to a file. The flags depend on the run: `sample RUN --help` lists them."""

    n: int = field(default=64, metadata={"help": "How many samples."})
    seed: int = field(default=0, metadata={"help": "The same seed gives the same samples."})
    step: int | None = field(default=None, metadata={"help": "Which checkpoint (default: the newest)."})
    out: Path = field(
        default=Path("samples.png"),
        metadata={"help": "FILE.png for a picture, FILE.npy for the array of samples as the data are stored."},
    )


def main(arguments: Sequence[str]) -> None:
    """Runs the command.

    Raises:
      ConfigError: the run makes no samples, takes no such flags, or the file cannot be written.
    """
    flags, asked = parse_for_run("sample", SampleFlags, arguments)
    check_name(flags.out)
    run = prepared_run(asked.run, flags.step, **asked.options)
    samples = run.sample(flags.n, flags.seed, **asked.given)
    write(flags.out, samples, lambda: picture(samples, run.info.fields[run.game.makes]))


def check_name(out: Path) -> None:
    """Raises ConfigError for a file that is neither a picture nor an array."""
    if out.suffix not in (".png", ".npy"):
        raise ConfigError(f"--out is {out}; accepted: a file that ends in .png or .npy")


def write(out: Path, samples: np.ndarray, shown: Callable[[], np.ndarray]) -> None:
    """Writes an array, or the picture that `shown` makes of it, and says where."""
    try:
        if out.suffix == ".npy":
            out.parent.mkdir(parents=True, exist_ok=True)
            np.save(out, samples)
        else:
            write_png(out, shown())
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be written: {error.strerror or error}") from error
    print(out)
