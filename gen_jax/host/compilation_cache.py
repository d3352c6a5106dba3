"""Compiled programs are kept in the user's cache directory, so that the same command starts at once the next time."""

import jax

from gen_jax.host.cache_directory import cache_directory

LEAST_SECONDS = 0.1
"""A program that compiles faster is not kept. JAX keeps those of a second; a run has ten of less."""


def keep_compiled_programs() -> None:
    """Turns JAX's persistent compilation cache on, in `cache_directory()/compiled`.

    What the user has set stays: `JAX_COMPILATION_CACHE_DIR=…`, or `JAX_ENABLE_COMPILATION_CACHE=false` for none; and
    `JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=…`, unless it is JAX's own 1.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
    if jax.config.values["jax_persistent_cache_min_compile_time_secs"] == 1:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
