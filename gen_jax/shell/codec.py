"""`python -m gen_jax encode|decode|reconstruct|interpolate|log-prob RUN`: what a trained codec or density does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gen_jax.errors import ConfigError
from gen_jax.loaded import Run
from gen_jax.run.views import arranged, spread
from gen_jax.shell.of_run import Asked, parse_for_run
from gen_jax.shell.prepared import prepared_run
from gen_jax.shell.sample import check_name, write
from gen_jax.show.grid import picture

STEP = {"help": "Which checkpoint (default: the newest)."}
DATA_DIR = {"help": "Where its data are, if not where they were during training."}
SEED = {"help": "Of what is random."}


@dataclass(frozen=True)
class HeldOut:
    """Flags of a command that looks at held-out examples."""

    n: int = field(default=8, metadata={"help": "How many held-out examples, from all over the set."})
    seed: int = field(default=0, metadata=SEED)
    step: int | None = field(default=None, metadata=STEP)
    data_dir: str | None = field(default=None, metadata=DATA_DIR)

    def rows(self, run: Run) -> dict[str, np.ndarray]:
        """The examples, by entry."""
        if self.n < 1:
            raise ConfigError(f"--n is {self.n}; accepted: a number of at least 1")
        return spread(run.load_data(self.data_dir).test, self.n)


@dataclass(frozen=True)
class EncodeFlags(HeldOut):
    """Writes the codes of held-out examples to a file, beside all else that is known of them."""

    out: Path = field(default=Path("codes.npz"), metadata={"help": "FILE.npz: codes, and every entry of the data."})


@dataclass(frozen=True)
class ReconstructFlags(HeldOut):
    """Shows held-out examples and below each what encoder and decoder make of it."""

    out: Path = field(default=Path("reconstructions.png"), metadata={"help": "FILE.png or FILE.npy."})


@dataclass(frozen=True)
class InterpolateFlags(HeldOut):
    """Leads from each held-out example to the next in the space of codes; without an encoder from drawn codes."""

    columns: int = field(default=10, metadata={"help": "Examples a row, both ends among them."})
    out: Path = field(default=Path("interpolations.png"), metadata={"help": "FILE.png or FILE.npy."})


@dataclass(frozen=True)
class LogProbFlags(HeldOut):
    """Prints log p(x) of held-out examples, in nats, one a line."""

    draws: int = field(default=500, metadata={"help": "Importance samples of each, where it is not exact."})


@dataclass(frozen=True)
class DecodeFlags:
    """Turns codes into examples."""

    codes: Path = field(default=Path("codes.npz"), metadata={"help": "FILE.npy, or FILE.npz with an array 'codes'."})
    seed: int = field(default=0, metadata=SEED)
    step: int | None = field(default=None, metadata=STEP)
    out: Path = field(default=Path("decoded.png"), metadata={"help": "FILE.png or FILE.npy."})


def given_of(run: Run, asked: Asked, rows: Mapping[str, np.ndarray]) -> dict[str, object]:
    """What the run is given beside the examples: as asked, or as the data have it."""
    return {name: asked.given.get(name, rows.get(name)) for name in run.game.given}


def encode(flags: EncodeFlags, run: Run, asked: Asked) -> None:
    """Runs the command."""
    run.game.require("encode")
    rows = flags.rows(run)
    codes = run.encode(rows["x"], flags.seed, **given_of(run, asked, rows))
    try:
        np.savez(flags.out, allow_pickle=False, codes=codes, **rows)
    except OSError as error:
        raise ConfigError(f"--out {flags.out} cannot be written: {error.strerror or error}") from error
    print(flags.out)


def decode(flags: DecodeFlags, run: Run, asked: Asked) -> None:
    """Runs the command."""
    run.game.require("decode")
    check_name(flags.out)
    rows = read_codes(flags.codes)
    found = run.decode(rows["codes"], flags.seed, **given_of(run, asked, rows))
    write(flags.out, found, lambda: picture(found, run.info.x))


def reconstruct(flags: ReconstructFlags, run: Run, asked: Asked) -> None:
    """Runs the command."""
    run.game.require("reconstruct")
    check_name(flags.out)
    rows = flags.rows(run)
    found = run.reconstruct(rows["x"], flags.seed, **given_of(run, asked, rows))
    write(flags.out, found, lambda: arranged(np.stack([rows["x"], found], axis=1), run.info.x))


def interpolate(flags: InterpolateFlags, run: Run, asked: Asked) -> None:
    """Runs the command."""
    run.game.require("interpolate")
    check_name(flags.out)
    rows = flags.rows(run) if "encode" in run.game.abilities else {}
    given = given_of(run, asked, rows)
    found = run.interpolate(rows.get("x"), flags.n, flags.columns, flags.seed, **given)
    write(flags.out, found, lambda: arranged(found, run.info.x))


def log_prob(flags: LogProbFlags, run: Run, asked: Asked) -> None:
    """Runs the command."""
    run.game.require("log_prob")
    for value in run.log_prob(flags.rows(run), flags.draws, flags.seed):
        print(f"{value:.4f}")


COMMANDS: Mapping[str, tuple[type, Callable[..., None]]] = {
    "encode": (EncodeFlags, encode),
    "decode": (DecodeFlags, decode),
    "reconstruct": (ReconstructFlags, reconstruct),
    "interpolate": (InterpolateFlags, interpolate),
    "log-prob": (LogProbFlags, log_prob),
}


def read_codes(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of codes. Raises ConfigError for a file that is none."""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            rows = {"codes": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"--codes is {path}, which cannot be read: {error}") from error
    if "codes" not in rows:
        raise ConfigError(f"--codes is {path}, which has no array 'codes', but {', '.join(rows)}")
    return rows


def main(command: str, arguments: Sequence[str]) -> None:
    """Runs one of COMMANDS.

    Raises:
      ConfigError: the run cannot do that, takes no such flags, or a file cannot be read or written.
    """
    kind, action = COMMANDS[command]
    flags: Any
    flags, asked = parse_for_run(command, kind, arguments)
    action(flags, prepared_run(asked.run, flags.step, **asked.options), asked)
