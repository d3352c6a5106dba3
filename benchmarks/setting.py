"""What the benchmarks of the engine have in common: an experiment, ready to be stepped."""

import dataclasses
import functools
import importlib
import time

import jax
from jax.sharding import Mesh

from gen_jax.data import load_dataset, open_source
from gen_jax.data.info import DataInfo
from gen_jax.run.setup import initial_state
from gen_jax.training.program import Program
from gen_jax.training.sharding import replicated
from gen_jax.training.state import State


class Setting:
    """An experiment with its default preset on the devices of a mesh.

    Attributes:
      config: the preset, on data as told.
      program: its compiled step.
    """

    def __init__(
        self, name: str, mesh: Mesh, *, data: str | None = None, data_dir: str | None = None, reproducible: bool = False
    ):
        experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
        config = experiment.presets["default"]
        self.config = dataclasses.replace(config, data=data or config.data, data_dir=data_dir)
        dataset = load_dataset(self.config.data, data_dir=data_dir, image_size=self.config.image_size)
        info = DataInfo.of(dataset)
        self.game = experiment.build(self.config, info)
        source = open_source(
            dataset.train,
            batch_size=self.config.batch_size,
            seed=0,
            draws=self.game.draws,
            sharding=replicated(mesh),
        )
        self.program = Program(
            self.game,
            source,
            mesh,
            seed=0,
            reproducible=reproducible,
            accumulate=self.config.accumulate,
            remat=self.config.remat,
        )
        self._make = jax.jit(functools.partial(initial_state, self.game, info), out_shardings=replicated(mesh))

    def initial(self) -> State:
        """The state before the first step, there and ready."""
        return jax.block_until_ready(self._make(jax.random.key(0)))

    def bare(self, steps: int, state: State | None = None) -> tuple[float, State]:
        """Seconds that so many steps take from the first on, with nothing around them, and the state after them."""
        state, step = self.initial() if state is None else state, 0
        begun = time.perf_counter()
        while step < steps:
            state, step, _ = self.program.advance(state, step, steps - step)
        jax.block_until_ready(state)
        return time.perf_counter() - begun, state
