"""A run as its files tell it, without its checkpoints."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from etils import epath

from gen_jax.config import Config, as_json, free_fields, from_json
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError, StorageError
from gen_jax.experiment import find
from gen_jax.metrics.comparison import HELD_OUT, Member
from gen_jax.metrics.logged import reported
from gen_jax.metrics.score import Score, read_scores
from gen_jax.run.directory import RunDirectory
from gen_jax.run.parts import described_run
from gen_jax.training.game import Game
from gen_jax.training.metrics_log import Logged, logged
from gen_jax.training.storage import first_line


@dataclass(frozen=True)
class RecordedRun:
    """What a run directory tells without its checkpoints.

    Attributes:
      path: the directory.
      module: of its experiment.
      fields: of the configuration, those that change what is learned, without the seed.
      data: what it learns from.
      member: its seed, its scores, what it logged.
    """

    path: epath.Path
    module: str
    fields: Mapping[str, Any]
    data: DataInfo
    member: Member

    @property
    def identity(self) -> str:
        """Equal for runs that differ in nothing but the seed."""
        return json.dumps([self.module, self.fields, self.data.as_json()], sort_keys=True)

    @property
    def experiment(self) -> str:
        """Its experiment's short name."""
        return _short(self.module)


def recorded_run(path: epath.PathLike) -> RecordedRun:
    """Reads a run directory.

    Raises:
      ConfigError: it is none, or nothing was measured yet.
      StorageError: what it holds cannot be read.
    """
    directory = RunDirectory(path)
    stored = directory.read()
    info = DataInfo.from_json(stored["data"])
    fields, game = _described(path, stored)
    seed = int(stored["config"].get("seed", 0))
    try:
        lines = logged(directory.path / "metrics.jsonl")
        scores = read_scores(directory.scores)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {first_line(error)}") from error
    by_metric = _by_metric(lines)
    if not by_metric and not scores:
        raise ConfigError(f"{path} has nothing to compare yet: neither metrics.jsonl nor scores.jsonl holds a number")
    module = stored["experiment"]["module"]
    # What was measured in features during training is among the scores, with all that it depends on.
    in_features = {HELD_OUT + score.metric for score in scores if "features" in score.protocol}
    scores += [score for score in _held_out(by_metric, module, game) if score.metric not in in_features]
    meanings = {metric: _meaning(metric.partition("/")[2], module, game)[1] for metric in by_metric}
    kinds = {metric: next(iter(meaning.values()), "") for metric, meaning in meanings.items()}
    reports = game.reports if game else {}
    member = Member(directory.path.resolve().name, seed, scores, by_metric, kinds, reports)
    return RecordedRun(directory.path, module, fields, info, member)


def _described(path: epath.PathLike, stored: Mapping[str, Any]) -> tuple[dict[str, Any], Game | None]:
    """The fields that change what is learned, and the game; without the experiment's code, as far as it goes."""
    config, free, game = stored["config"], free_fields(Config), None
    try:
        experiment = find(stored["experiment"])
        kind = type(experiment.presets["default"])
        # What an older version did not know yet was at its default.
        config, free = as_json(from_json(kind, config)) | config, free_fields(kind)
        _, game = described_run(path, abstract=True)
    except ConfigError:
        pass
    return {name: value for name, value in config.items() if name not in free | {"seed"}}, game


def _by_metric(lines: Sequence[Logged]) -> dict[str, dict[int, float]]:
    """{"eval/elbo": {step: value}}, held-out metrics first; NaN where it was not finite."""
    found: dict[str, dict[int, float]] = {}
    for line in lines:
        for name, value in line.values.items():
            found.setdefault(f"{line.split}/{name}", {})[line.step] = math.nan if value is None else float(value)
    return dict(sorted(found.items(), key=lambda item: not item[0].startswith(HELD_OUT)))


def _held_out(logged: Mapping[str, Mapping[int, float]], module: str, game: Game | None) -> list[Score]:
    """What was logged on held-out data, as scores."""
    weights = {} if game is None else {"weights": "average" if game.averages else "last"}
    scores = []
    for metric, values in logged.items():
        name = metric.removeprefix(HELD_OUT)
        if name != metric:
            better, meaning = _meaning(name, module, game)
            unit = reported(name, game.reports if game else {}).unit
            scores += [
                Score(metric, f"{name}, held-out", value, better, step, meaning | weights, unit=unit)
                for step, value in values.items()
            ]
    return scores


def _meaning(name: str, module: str, game: Game | None) -> tuple[Literal["larger", "smaller"] | None, dict[str, Any]]:
    """Which direction of a logged metric is better, and what has to be equal for it to be compared."""
    found = reported(name, game.reports if game else {})
    if found.depends_on == "observed" and game is not None and game.density is not None:
        return found.better, {"observed": game.density.observed}
    if found.depends_on is not None:
        # What is not known by its name, such as a loss, means what the experiment means by it.
        return None, {"experiment": _short(module)}
    return found.better, {}


def _short(module: str) -> str:
    return module.removeprefix("experiments.")
