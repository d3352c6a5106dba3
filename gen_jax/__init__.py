"""gen_jax: deep generative models as games of pure functions in JAX."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gen_jax.config import Config
    from gen_jax.data import Dataset
    from gen_jax.experiment import Experiment
    from gen_jax.loaded import Run

__all__ = ["load", "main", "train"]

# What these need is imported when they are called: `--help` and a mistyped flag need not wait for it.


def load(
    run_dir: str | os.PathLike[str], step: int | None = None, data: "Dataset | None" = None, **options: Any
) -> "Run":
    """A trained run, ready to sample: `gen_jax.load("runs/vae-digits").sample(16)`.

    Args:
      run_dir: what the training named at its end; local or `gs://`.
      step: which checkpoint; None: the newest.
      data: what it was trained on, where that came from Python (`train(..., data=...)`).
      **options: of its configuration that do not change what was learned: `sampling_steps=50` of a diffusion.

    Raises:
      gen_jax.errors.ConfigError: it is no run directory, or has no such checkpoint; an option does not apply.
    """
    from gen_jax.loaded import Run

    return Run(run_dir, step, data, **options)


def train(
    experiment: "Experiment",
    config: "Config | None" = None,
    *,
    data: "Dataset | Mapping[str, Any] | None" = None,
    **changes: Any,
) -> "Run":
    """Trains, or continues, a run, and returns it: `train(EXPERIMENT, steps=500, data={"x": images, "label": labels})`.

    Args:
      experiment: such as `experiments.vae.EXPERIMENT`.
      config: where the options start from; None: the default preset.
      data: a data set, or arrays by name as `npz:FILE` has them; None: what the configuration names.
      **changes: options to be other than in `config`.

    Raises:
      gen_jax.errors.GenJaxError: what a command line would say in one line.
      TypeError: an option that the experiment does not have.
    """
    from gen_jax.shell.from_python import train

    return train(experiment, config, data, changes)


def main(experiment: "Experiment", arguments: Sequence[str] | None = None) -> None:
    """The command line of an experiment: trains, or continues, what the arguments (None: the program's) describe."""
    from gen_jax.shell.train import main

    main(experiment, arguments)
