"""Papers as commands: `python -m experiments.NAME`."""
