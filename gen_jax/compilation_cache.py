"""Compiled programs are kept in the user's cache directory, so that the same command starts at once the next time."""

import jax

from gen_jax.data.cache import cache_directory


def keep_compiled_programs() -> None:
    """Turns JAX's persistent compilation cache on, in `cache_directory()/compiled`.

    What the user has set stays: `JAX_COMPILATION_CACHE_DIR=…`, or `JAX_ENABLE_COMPILATION_CACHE=false` for none.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
