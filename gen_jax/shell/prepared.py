"""A command on a run that has been trained: JAX as it was in training, and what is compiled is kept."""

from typing import Any

from etils import epath

from gen_jax.host.compilation_cache import keep_compiled_programs
from gen_jax.host.cpu_devices import split_the_cpu
from gen_jax.loaded import Run
from gen_jax.run.directory import RunDirectory


def prepare(path: epath.PathLike) -> None:
    """Sets JAX up, for the whole process, for work on a run; `gen_jax.load` leaves JAX as it is.

    Of a path that is no run directory the work itself says what is wrong.

    Raises:
      ConfigError: its config.json is not the configuration of a run.
    """
    keep_compiled_programs()
    directory = RunDirectory(path)
    if directory.config.exists():
        stored = directory.read()
        split_the_cpu(2 if stored["config"].get("reproducible") else stored["host"]["cpu_parts"])


def prepared_run(path: epath.PathLike, step: int | None = None, **options: Any) -> Run:
    """What `gen_jax.load` returns, in a process that is prepared for it."""
    prepare(path)
    return Run(path, step, **options)
