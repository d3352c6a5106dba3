"""The programs of a run, those that training would dispatch, lowered from shapes alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, Sharding, SingleDeviceSharding

from gen_jax.config import Config
from gen_jax.data import BatchSource, Dataset, Resident, Streamed
from gen_jax.data.batches import flat_shape
from gen_jax.data.dataset import INDEX, index_of
from gen_jax.data.info import DataInfo
from gen_jax.data.sources import MAIN, Merged, seed_of
from gen_jax.experiment import Experiment
from gen_jax.preflight.data import entries, is_resident, row_shapes, row_types, splits
from gen_jax.run.devices import check_batch_size, choose_cpu_parts, mesh_for
from gen_jax.run.examiner import Examiner
from gen_jax.run.parts import load_pretrained
from gen_jax.run.setup import Setup, state_shapes
from gen_jax.training.game import Game
from gen_jax.training.pretrained import Pretrained
from gen_jax.training.program import Program
from gen_jax.training.sharding import replicated, split_batch
from gen_jax.training.state import State


def structs(
    dataset: Dataset, names: Sequence[str], leading: tuple[int, ...], sharding: Sharding, *, flat: bool = False
) -> dict[str, jax.ShapeDtypeStruct]:
    """Some entries of a batch as shapes, with leading axes and a sharding; each row one row of numbers if `flat`."""
    types, shapes = row_types(dataset), row_shapes(dataset)
    return {
        name: jax.ShapeDtypeStruct(
            (*leading, *(flat_shape(shapes[name]) if flat else shapes[name])), types[name], sharding=sharding
        )
        for name in names
    }


def with_index(
    rows: dict[str, jax.ShapeDtypeStruct], names: Sequence[str], leading: tuple[int, ...], sharding: Sharding
) -> dict[str, jax.ShapeDtypeStruct]:
    """The rows, and under such names where in its split each of them is."""
    return rows | {name: jax.ShapeDtypeStruct(leading, np.dtype(np.int32), sharding=sharding) for name in names}


class ResidentShapes(Resident):
    """A split on the devices, of which only the shapes are there."""

    def __init__(self, dataset: Dataset, config: Config, draws: int, mesh: Mesh, stream: str = MAIN) -> None:
        self.size, self.batch_size, self.draws = splits(dataset, stream)[0].size, config.batch_size, draws
        self.seed = config.seed if stream == MAIN else seed_of(config.seed, stream)
        self.sharding, names = replicated(mesh), entries(dataset, stream)
        self.row_shapes = {name: row_shapes(dataset)[name] for name in names}
        self._shapes = structs(dataset, names, (self.size,), self.sharding, flat=True)

    def feed(self, step: int) -> Any:
        """The shapes of the arrays."""
        return self._shapes


class StreamedShapes(Streamed):
    """A split that streams, of which only the shapes are there."""

    def __init__(self, dataset: Dataset, config: Config, draws: int, mesh: Mesh, stream: str = MAIN) -> None:
        leading, sharding, names = (draws, config.batch_size), split_batch(mesh, axis=1), entries(dataset, stream)
        self.row_shapes = {**{name: row_shapes(dataset)[name] for name in names}, INDEX: ()}
        rows = structs(dataset, names, leading, sharding, flat=True)
        self._shapes = with_index(rows, [INDEX], leading, sharding)

    def feed(self, step: int) -> Any:
        """The shapes of the stacked batches."""
        return self._shapes

    def close(self) -> None:
        """Nothing was opened."""


def source_shapes(dataset: Dataset, config: Config, draws: int, mesh: Mesh) -> BatchSource:
    """Where batches would come from, as `open_source` has it; only the shapes are there."""
    sources: dict[str, BatchSource] = {}
    for stream in (MAIN, *dataset.others):
        kind: type[ResidentShapes | StreamedShapes] = ResidentShapes if is_resident(dataset, stream) else StreamedShapes
        sources[stream] = kind(dataset, config, draws, mesh, stream)
    return Merged(sources) if dataset.others else sources[MAIN]


@dataclass(frozen=True)
class Setting:
    """A run on devices that it may never have.

    Attributes:
      experiment: the method.
      config: its configuration.
      dataset: described or real.
      devices: to compile for.
    """

    experiment: Experiment
    config: Config
    dataset: Dataset
    devices: Sequence[jax.Device]

    @cached_property
    def info(self) -> DataInfo:
        """What the method knows of the data."""
        return DataInfo.of(self.dataset)

    @cached_property
    def shapes(self) -> State:
        """The state as ShapeDtypeStructs."""
        return state_shapes(self.game, self.info)

    @cached_property
    def cpu_parts(self) -> int:
        """In how many parts the devices of a CPU would compute a batch."""
        return choose_cpu_parts(self.config, self.shapes.params, self.devices)

    @cached_property
    def mesh(self) -> Mesh:
        """The devices as configured. Raises ConfigError where they cannot share the work."""
        mesh = mesh_for(self.config, self.cpu_parts, self.devices)
        check_batch_size(self.config, self.info, mesh.size)
        return mesh

    @cached_property
    def parts(self) -> dict[str, Pretrained]:
        """The runs that it is made of, as shapes alone."""
        named = {name: getattr(self.config, name) for name in self.experiment.parts}
        return {name: load_pretrained(path, path, abstract=True) for name, path in named.items() if path is not None}

    @cached_property
    def game(self) -> Game:
        """The method. Raises ConfigError where it does not fit the data."""
        return self.experiment.game(self.config, self.info, self.parts)

    @cached_property
    def setup(self) -> Setup:
        """The run on its devices."""
        return Setup(self.config, self.info, self.game, self.mesh, cpu_parts=self.cpu_parts, shapes=self.shapes)

    @property
    def state(self) -> State:
        """The state as ShapeDtypeStructs with shardings."""
        return self.setup.wanted

    @cached_property
    def examiner(self) -> Examiner:
        """What evaluates and samples during training."""
        return Examiner(self.game, self.dataset, self.mesh, self.config, [])

    @property
    def resident(self) -> bool:
        """Whether each device holds the main split."""
        return is_resident(self.dataset)

    @cached_property
    def program(self) -> Program:
        """What trains."""
        return self.setup.program(source_shapes(self.dataset, self.config, self.game.draws, self.mesh))

    def lower_train(self) -> Any:
        """The train step: many to a dispatch except on CPUs."""
        return self.program.lower(self.state)

    def lower_sample(self) -> Any:
        """One chunk of samples."""
        state = self.state
        if self.config.reproducible:
            one = SingleDeviceSharding(self.mesh.devices.flat[0])
            state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), state)
        return self.examiner.sampler.lower(state)

    def lower_evaluate(self) -> Any:
        """One batch of the evaluation on held-out data."""
        leading, sharding = (self.examiner.batch_size,), split_batch(self.mesh)
        rows = structs(self.dataset, list(self.dataset.fields), leading, sharding)
        indices = [INDEX, *map(index_of, self.dataset.others)]
        return self.examiner.evaluator.lower(self.state, with_index(rows, indices, leading, sharding))


@dataclass(frozen=True)
class Part:
    """One of the programs of a run.

    Attributes:
      title: in words.
      lower: lowers it.
      examples: how many examples one execution handles; for training, one step.
      donates: whether it gives the memory of the state away.
    """

    title: str
    lower: Callable[[Setting], Any]
    examples: Callable[[Setting], int]
    donates: bool = False


PARTS = {
    "train": Part(
        "train step",
        Setting.lower_train,
        lambda setting: setting.config.batch_size * setting.game.draws,
        donates=True,
    ),
    "sample": Part("samples", Setting.lower_sample, lambda setting: setting.examiner.sampler.chunk),
    "evaluate": Part("evaluation", Setting.lower_evaluate, lambda setting: setting.examiner.batch_size),
}


def applies(name: str, game: Game) -> bool:
    """Whether a game has such a program."""
    return name != "evaluate" or game.evaluate is not None
