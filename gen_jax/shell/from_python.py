"""`gen_jax.train`: a run trained from Python, for notebooks and sweeps."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gen_jax.config import Config
from gen_jax.data import Dataset
from gen_jax.data.arrays import from_arrays
from gen_jax.experiment import Experiment
from gen_jax.loaded import Run
from gen_jax.reports.report import report_of
from gen_jax.run.train import train_run


def train(
    experiment: Experiment, config: Config | None, data: Dataset | Mapping[str, Any] | None, changes: Mapping[str, Any]
) -> Run:
    """What `gen_jax.train` does. Sets nothing of JAX, and lets errors through."""
    config = dataclasses.replace(config or experiment.presets["default"], **changes)
    if isinstance(data, Mapping):
        data = from_arrays(data, name="arrays")
    return Run(train_run(experiment, config, write_report=report_of, data=data), data=data)
