"""gen_jax: deep generative models as games of pure functions in JAX."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gen_jax.run import Run

__all__ = ["load"]


def load(run_dir: str | os.PathLike[str], step: int | None = None) -> "Run":
    """A trained run, ready to sample: `gen_jax.load("runs/vae-digits").sample(16)`.

    Args:
      run_dir: what the training named at its end; local or `gs://`.
      step: which checkpoint; None: the newest.

    Raises:
      gen_jax.errors.ConfigError: it is no run directory, or has no such checkpoint.
    """
    from gen_jax.run import Run

    return Run(run_dir, step)
