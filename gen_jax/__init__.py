"""gen_jax: deep generative models as games of pure functions in JAX."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gen_jax.experiment import Experiment
    from gen_jax.loaded import Run

__all__ = ["load", "main"]

# What these need is imported when they are called: `--help` and a mistyped flag need not wait for it.


def load(run_dir: str | os.PathLike[str], step: int | None = None, **options: Any) -> "Run":
    """A trained run, ready to sample: `gen_jax.load("runs/vae-digits").sample(16)`.

    Args:
      run_dir: what the training named at its end; local or `gs://`.
      step: which checkpoint; None: the newest.
      **options: of its configuration that do not change what was learned: `sampling_steps=50` of a diffusion.

    Raises:
      gen_jax.errors.ConfigError: it is no run directory, or has no such checkpoint; an option does not apply.
    """
    from gen_jax.loaded import Run

    return Run(run_dir, step, **options)


def main(experiment: "Experiment", arguments: Sequence[str] | None = None) -> None:
    """The command line of an experiment: trains, or continues, what the arguments (None: the program's) describe."""
    from gen_jax.shell.train import main

    main(experiment, arguments)
