"""gen_jax's side: what `python -m experiments.NAME` trains with, built and stepped as there, with nothing around it."""

import dataclasses
import functools
import importlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.subject import Order, Subject
from benchmarks.speed.workloads import METHODS, Workload
from gen_jax.config import Config
from gen_jax.data import Dataset, open_source
from gen_jax.data.dataset import Split
from gen_jax.data.field import image_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.experiment import Experiment
from gen_jax.host.cpu_devices import split_the_cpu
from gen_jax.run.devices import choose_cpu_parts, mesh_for
from gen_jax.run.setup import initial_state, state_shapes, wanted_state
from gen_jax.training import keys
from gen_jax.training.pace import Pace
from gen_jax.training.program import Program
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import replicated, split_batch, state_shardings

# Before the clock runs: what is imported is no part of a step.
MODULES = {name: importlib.import_module(f"experiments.{name}") for name in METHODS}


def experiment_of(workload: Workload, precision: str = "float32") -> tuple[Experiment, Config]:
    """The experiment, and its preset with the workload's numbers.

    Raises:
      ConfigError: the experiment has no such option.
    """
    experiment: Experiment = MODULES[workload.method.experiment].EXPERIMENT
    preset = experiment.presets[workload.method.preset]
    # How matrices are multiplied in float32 is told to JAX, not to the experiment.
    computed: dict[str, Any] = {
        "batch_size": workload.batch_size,
        "precision": precision.replace("tensorfloat32", "float32"),
    }
    options = dataclasses.asdict(workload.method)
    missing = sorted(set(options) - {field.name for field in dataclasses.fields(preset)})
    if missing == ["sampler"] and options["sampler"] == "ancestral":
        del options["sampler"]
    elif missing:
        raise ConfigError(f"experiments.{workload.method.experiment} has no option {', '.join(missing)}")
    return experiment, dataclasses.replace(preset, **options, **computed)


class Built:
    """An experiment's game on given images, and its state before the first step."""

    def __init__(self, order: Order):
        """Compiles what makes the initial state, and no more."""
        self.workload = order.workload
        experiment, config = experiment_of(order.workload, order.precision)
        split_the_cpu(2)
        split = Split(len(order.images), {"x": order.images})
        dataset = Dataset("images", split, split, image_fields(order.workload.shape), "0" * 16)
        self.info = DataInfo.of(dataset)
        self.game = experiment.build(config, self.info)
        shapes = state_shapes(self.game, self.info)
        cpu_parts = choose_cpu_parts(config, shapes.params, jax.devices())
        self.mesh = mesh_for(config, cpu_parts)
        self.source = open_source(
            split,
            batch_size=config.batch_size,
            seed=config.seed,
            draws=self.game.draws,
            sharding=replicated(self.mesh),
            stream_sharding=split_batch(self.mesh, axis=1),
        )
        wanted = state_shardings(self.mesh, wanted_state(self.game, self.info, self.mesh, shapes))
        self.program = Program(
            self.game,
            self.source,
            self.mesh,
            config.seed,
            shardings=wanted,
            cpu_parts=cpu_parts > 1,
        )
        make = functools.partial(initial_state, self.game, self.info)
        self.state = jax.jit(make, out_shardings=wanted)(jax.random.key(config.seed))

    @property
    def parameters(self) -> dict[str, int]:
        """The number of parameters of each network."""
        return {net: sum(leaf.size for leaf in jax.tree.leaves(tree)) for net, tree in self.state.params.items()}

    def flops(self) -> None:
        """Counted on PyTorch's side, of whose step it is a fact of the same kind."""

    def disagreement(self) -> None:
        """There is but one way."""

    def accelerator_peak(self) -> int | None:
        """Since the process began: JAX cannot be asked to forget a peak."""
        statistics = jax.local_devices()[0].memory_stats() or {}
        return statistics.get("peak_bytes_in_use")

    def reset_accelerator_peak(self) -> None:
        """Not to be had."""


class Training(Built):
    """Steps of training, dispatched at the pace of the training loop."""

    def __init__(self, order: Order):
        super().__init__(order)
        self._step, self._steps_at_once = 0, 1

    def run(self, steps: int) -> None:
        """So many steps."""
        # The time in which the other side had its turn is no measure of this one's.
        pace = Pace()
        pace.steps = self._steps_at_once
        stop = self._step + steps
        while self._step < stop:
            before = self._step
            most = min(stop - before, pace.steps)
            self.state, self._step, metrics = self.program.advance(self.state, before, most)
            pace.dispatched(metrics, self._step - before)
        jax.block_until_ready(self.state)
        self._steps_at_once = pace.steps


class Sampling(Built):
    """Batches of samples, as `Run.sample` draws them."""

    def __init__(self, order: Order):
        super().__init__(order)
        self._sampler, self._drawn = Sampler(self.game, self.mesh), 0

    def run(self, steps: int) -> None:
        """So many batches, each with a key of its own."""
        for _ in range(steps):
            key = keys.derive(jax.random.key(0), "sample", self._drawn)
            self._sampler(self.state, key, self.workload.batch_size)
            self._drawn += 1


class Product:
    """The product of two square matrices, over and over."""

    def __init__(self, size: int, precision: str):
        """Matrices of normal numbers; those of zeros are quicker on some devices."""
        self._size = size
        one, other = np.random.default_rng(0).standard_normal((2, size, size)).astype(np.float32) / math.sqrt(size)
        dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
        self._one, self._other = jnp.asarray(one, dtype), jnp.asarray(other, dtype)
        self._multiply = jax.jit(jnp.matmul)

    @property
    def parameters(self) -> dict[str, int]:
        """It has none."""
        return {}

    def run(self, steps: int) -> None:
        """So many products, each of the last one's result."""
        result = self._one
        for _ in range(steps):
            result = self._multiply(result, self._other)
        jax.block_until_ready(result)

    def flops(self) -> float:
        """Of one product."""
        return 2.0 * self._size**3

    def disagreement(self) -> None:
        """There is but one way."""

    def accelerator_peak(self) -> None:
        """Of no interest."""

    def reset_accelerator_peak(self) -> None:
        """Of no interest."""


def set_precision(device: str, precision: str) -> None:
    """JAX multiplies float32 in TensorFloat-32 where a device has it, unless it is told not to."""
    if device != "cpu" and precision == "float32":
        jax.config.update("jax_default_matmul_precision", "highest")


def describe(device: str) -> dict[str, Any]:
    """What JAX finds here."""
    found = jax.local_devices()[0]
    platform = "cpu" if found.platform == "cpu" else "gpu"
    return {"version": jax.__version__, "device": platform, "name": found.device_kind}


def build(order: Order) -> Subject:
    """The workload, with its data in place."""
    set_precision(order.device, order.precision)
    return Sampling(order) if order.workload.samples else Training(order)


def product(size: int, device: str, precision: str) -> Subject:
    """A product of two square matrices of random numbers."""
    set_precision(device, precision)
    return Product(size, precision)
