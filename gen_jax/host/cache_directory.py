"""Where what can be made again is kept.

The directory is `$GEN_JAX_CACHE`, else `$XDG_CACHE_HOME/gen_jax`, else `~/.cache/gen_jax`. It may be emptied at any
time.
"""

import os
from pathlib import Path


def cache_directory() -> Path:
    """The cache directory; it need not exist yet."""
    if chosen := os.environ.get("GEN_JAX_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "gen_jax"
