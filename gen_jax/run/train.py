"""Training a run: the composition root, where a configuration becomes game, data, devices, checkpoints and logs."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping

import jax
import numpy as np
from etils import epath
from rich.console import Console

from gen_jax.config import Config
from gen_jax.data import Dataset
from gen_jax.data.info import DataInfo
from gen_jax.data.subset import subset
from gen_jax.errors import ConfigError, GenJaxError, NonFiniteError, StorageError
from gen_jax.experiment import Experiment
from gen_jax.metrics import sample_metrics
from gen_jax.metrics.feature_scores import FeatureScores, feature_scores
from gen_jax.metrics.logged import reported
from gen_jax.metrics.provenance import sampled
from gen_jax.metrics.score import store_scores
from gen_jax.run.data import load_data
from gen_jax.run.described import Description
from gen_jax.run.devices import check_batch_size, choose_cpu_parts, cpu_parts_here, mesh_for, mesh_for_features
from gen_jax.run.directory import RunDirectory, default_run_dir
from gen_jax.run.examiner import Examiner
from gen_jax.run.parts import find_parts, load_pretrained, noted, pretrained_of
from gen_jax.run.rollback import Rollback
from gen_jax.run.setup import Setup, state_shapes
from gen_jax.run.views import Grid
from gen_jax.run.warm_start import began_with
from gen_jax.show.grid import write_png
from gen_jax.show.words import worded_example
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.distributed import is_leader
from gen_jax.training.loop import Cadence, SaveWarnings, train
from gen_jax.training.metrics_log import MetricsLog
from gen_jax.training.preemption import Preemption
from gen_jax.training.pretrained import Pretrained
from gen_jax.training.progress import Reporter, duration
from gen_jax.training.retention import Best
from gen_jax.training.state import State
from gen_jax.training.storage import first_line

WriteReport = Callable[[epath.Path, Dataset], epath.Path]
"""(run directory, its data) -> the page that shows the run."""


class TrainingRun:
    """Everything of one run while it is trained.

    All that can be wrong with the request is looked at before anything is compiled.
    """

    def __init__(self, experiment: Experiment, config: Config, console: Console, data: Dataset | None = None):
        """Looks at everything; computes nothing but what `build` does.

        Args:
          experiment: what to train.
          config: how.
          console: where to say how it goes.
          data: what to learn from; None: what the configuration names.
        """
        if data is not None:
            data = subset(data, config.examples)
            config = dataclasses.replace(config, data=data.name)
        self.experiment, self.config, self.console = experiment, config, console
        experiment.check(config)
        self.directory = RunDirectory(config.run_dir or default_run_dir(experiment.name, config.data))
        self.directory.claim()
        self.directory.check_same(experiment.identity["module"], config)
        self.dataset = load_data(config) if data is None else data
        self.info = DataInfo.of(self.dataset)
        self.directory.check_same(experiment.identity["module"], config, self.info.as_json())
        self.parts = find_parts(experiment, config, self.directory)
        self.identity = noted(Description(experiment.identity["module"], config, self.info), self.parts).identity
        game = experiment.game(config, self.info, pretrained_of(self.parts))
        shapes = state_shapes(game, self.info)
        # Decided when the run begins, and kept, because the parts of a batch draw noise of their own.
        self.host = self.directory.host() or {"cpu_parts": choose_cpu_parts(config, shapes.params, jax.devices())}
        cpu_parts = cpu_parts_here(config, self.host["cpu_parts"])
        mesh = mesh_for(config, cpu_parts)
        check_batch_size(config, self.info, mesh.size)
        self.setup = Setup(config, self.info, game, mesh, self.init_from(), cpu_parts, shapes)
        if self.setup.init_from is not None:
            self.say(began_with(self.setup.wanted, self.setup.init_from))
        self.features = self.feature_scores()
        metrics = sample_metrics(self.dataset) + ([] if self.features is None else [self.features])
        self.examiner = Examiner(self.setup.game, self.dataset, mesh, config, metrics)
        if config.keep_best is not None:
            known = self.examiner.names(self.setup.wanted, self.info)
            if config.keep_best not in known:
                raise ConfigError(f"--keep-best is {config.keep_best}; accepted: {', '.join(known)}")
        self.grid = Grid(
            self.setup.game, self.info, self.dataset, self.examiner.sampler, mesh, config.seed, config.grid_samples
        )
        self.save_warnings = SaveWarnings(self.say)
        # Grids that a disk would not take; they are written before the next checkpoint.
        self._pictures: dict[epath.Path, np.ndarray] = {}

    @property
    def best(self) -> Best | None:
        """What makes a checkpoint the best, where one is to be kept."""
        name = self.config.keep_best
        return None if name is None else Best(name, reported(name, self.setup.game.reports).better == "larger")

    def feature_scores(self) -> FeatureScores | None:
        """What is measured in features at every evaluation, if anything is."""
        names, samples = self.config.eval_metrics, self.config.eval_samples
        mesh = mesh_for_features(self.setup.mesh, self.setup.cpu_parts)
        return feature_scores(names, samples, self.dataset, mesh, self.say) if names else None

    def say(self, line: str) -> None:
        """Prints a line, above the bar if there is one."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def record(self) -> None:
        """Writes config.json, if it is still that of the same run."""
        if is_leader():
            self.directory.check_same(self.experiment.identity["module"], self.config, self.info.as_json())
            notes = {name: part.as_json() for name, part in self.parts.items()}
            self.directory.record(self.experiment.identity, self.config, self.info.as_json(), self.host, notes)
            for name, part in self.parts.items():
                part.copy(self.directory.path / "parts" / name)

    def evaluate(self, step: int, state: State) -> dict[str, float]:
        """Metrics of a state, and its picture: a grid of samples, or of a method without any the first view."""
        shown = self.grid(state)
        if is_leader() and shown is not None:
            self._pictures[self.directory.samples(step)] = shown
            try:
                self.write()
            except StorageError as error:
                self.save_warnings.report(str(error))
        measured = self.examiner(state)
        self.store(step, measured)
        return measured

    def store(self, step: int, measured: Mapping[str, float]) -> None:
        """Adds what was measured in features to scores.jsonl, with all that it depends on."""
        if self.features is None or not is_leader():
            return
        weights = "average" if self.setup.game.averages else "last"
        made = sampled(self.setup.game, self.features.samples, self.config.seed, weights)
        try:
            store_scores(self.directory.scores, self.features.scores(step, measured, made))
        except OSError as error:
            self.save_warnings.report(f"{self.directory.scores} could not be written: {first_line(error)}")

    def write(self) -> None:
        """Writes config.json, if it was removed, and the grids that could not be written before.

        Raises:
          StorageError: the disk does not take them; the next time tries again.
        """
        if not is_leader():
            return
        try:
            if not self.directory.config.exists():
                self.record()
            for path in list(self._pictures):
                write_png(path, self._pictures[path])
                del self._pictures[path]
        except (OSError, ConfigError) as error:
            raise StorageError(f"{self.directory.path} could not be written: {first_line(error)}") from error

    def init_from(self) -> Pretrained | None:
        """The run whose networks this one begins with; None where it has begun already, or begins with new ones."""
        path, checkpoints = self.config.init_from, self.directory.checkpoints
        has_begun = checkpoints.exists() and any(checkpoints.iterdir())
        return None if path is None or has_begun else load_pretrained(path, path)

    def train(self, checkpoints: Checkpoints) -> bool:
        """Trains to the end, however often it has to go back on the way. Returns whether there was anything to do."""
        with Preemption() as preemption:
            start, state = self.setup.begin(checkpoints, self.dataset.train_streams)
            log = MetricsLog(self.directory.path, start or 0, writes=is_leader(), report=self.say)
            with contextlib.closing(log):
                skipped = self.directory.read_skipped()
                rollback = Rollback(self.setup, self.dataset.train_streams, self.directory, self.identity, self.say)
                reporter = self.reporter(start)
                describe(reporter, self.info, state, self.setup, start)
                clock = time.perf_counter()
                while True:
                    try:
                        state = self.train_from(state, checkpoints, log, reporter, preemption, skipped)
                        break
                    except NonFiniteError as error:
                        # Its traceback would keep the state with what is not finite in memory.
                        failure = error.with_traceback(None)
                    skipped = rollback.skip_culprit(checkpoints, failure, skipped)
                    start, state = self.setup.begin(checkpoints, self.dataset.train_streams)
                    try:
                        log.rewind(start or 0)
                    except StorageError as error:
                        self.save_warnings.report(str(error))
                    reporter = self.reporter(start)
        was_finished = start is not None and start >= self.config.steps
        if was_finished:
            self.say(f"already finished: {start} of {self.config.steps} steps are done")
        else:
            self.say(f"finished {self.config.steps} steps in {duration(time.perf_counter() - clock)}")
        self.say(f"run      {self.directory.path}")
        picture = self.directory.samples(int(state.step))
        if picture.exists():
            self.say(f"{'samples' if self.setup.game.sample else 'shown':8} {picture}")
        return not was_finished

    def report(self, write_report: WriteReport) -> None:
        """Writes the page that shows the run; where that fails, the run is no worse for it."""
        if jax.process_count() > 1:
            self.say(f"report   python -m gen_jax report {self.directory.path}")
            return
        try:
            path = write_report(self.directory.path, self.dataset)
        except GenJaxError as error:
            self.say(f"warning: no report: {error}")
        except OSError as error:
            self.say(f"warning: no report: {first_line(error)}")
        else:
            self.say(f"report   {path}")

    def reporter(self, start: int | None) -> Reporter:
        """What shows the progress from a checkpoint on."""
        return Reporter(self.console, start or 0, self.config.steps, self.config.batch_size * self.setup.game.draws)

    def train_from(
        self,
        state: State,
        checkpoints: Checkpoints,
        log: MetricsLog,
        reporter: Reporter,
        preemption: Preemption,
        skipped: frozenset[int],
    ) -> State:
        """Trains until the end, or until something is not finite."""
        config = self.config
        program = self.setup.program(self.setup.source(self.dataset.train_streams, int(state.step)))
        try:
            with reporter:
                return train(
                    program,
                    state,
                    Cadence.of(config.steps, config.log_every, config.eval_every, config.save_every),
                    checkpoints=checkpoints,
                    log=log,
                    reporter=reporter,
                    evaluate=self.evaluate,
                    write=self.write,
                    save_warnings=self.save_warnings,
                    requested=preemption.requested,
                    skipped=skipped,
                )
        finally:
            program.source.close()


def train_run(
    experiment: Experiment,
    config: Config,
    console: Console | None = None,
    write_report: WriteReport | None = None,
    data: Dataset | None = None,
) -> epath.Path:
    """Trains, or continues, the run that a configuration describes. Returns its directory.

    Args:
      experiment: what to train.
      config: how.
      console: where to say how it goes; None: stdout, of the leader alone.
      write_report: makes the page that shows the run, if the configuration asks for one; None: nobody does.
      data: what to learn from; None: what the configuration names.

    Raises:
      ConfigError, DataError: the request cannot be carried out.
      NonFiniteError: the numbers stopped being finite.
      Preempted: SIGTERM or SIGINT came, and the state is saved.
      StorageError: the state could not be saved.
    """
    run = TrainingRun(experiment, config, console or Console(quiet=not is_leader()), data)
    with run.directory.lock() if is_leader() else contextlib.nullcontext():
        run.record()
        directory, best = run.directory.checkpoints, run.best
        checkpoints = Checkpoints(directory, config.keep, best=best, identity=run.identity, report=run.say)
        with contextlib.closing(checkpoints):
            moved = run.train(checkpoints)
        if write_report and config.report and (moved or not run.directory.report.exists()):
            run.report(write_report)
    return run.directory.path


def describe(reporter: Reporter, info: DataInfo, state: State, setup: Setup, begin: int | None) -> None:
    """Says what is about to be trained, on what and where."""
    parameters = {net: sum(leaf.size for leaf in jax.tree.leaves(tree)) for net, tree in state.params.items()}
    reporter.say(
        f"data     {info.name}: {info.train_size:,} examples, each {worded_example(info.fields, info.streams)}; "
        f"{info.held_out_size:,} held out"
    )
    reporter.say("nets     " + ", ".join(f"{net} {count:,}" for net, count in parameters.items()) + " parameters")
    config, devices = setup.config, setup.mesh.devices.flat
    parts = "" if config.accumulate == 1 else f" in {config.accumulate} parts"
    batch = f"batch {config.batch_size}{parts}"
    reporter.say(f"devices  {setup.mesh.size} {devices[0].device_kind}, {config.precision}, {batch}")
    if begin is not None:
        reporter.say(f"continuing after step {begin}")
