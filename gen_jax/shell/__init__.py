"""Command lines: `python -m experiments.NAME` and `python -m gen_jax COMMAND`."""
