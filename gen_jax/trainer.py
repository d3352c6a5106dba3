"""Training a run: the composition root, where a configuration becomes game, data, devices, checkpoints and logs."""

import contextlib
import functools
import time
from collections.abc import Mapping

import jax
import numpy as np
from etils import epath
from rich.console import Console

from gen_jax.config import Config, as_json, free_fields
from gen_jax.data import load_dataset, open_source
from gen_jax.data.info import DataInfo
from gen_jax.devices import check_batch_size, mesh_for
from gen_jax.errors import ConfigError, NonFiniteError, StorageError
from gen_jax.experiment import Experiment
from gen_jax.metrics import cheap_sample_metrics
from gen_jax.replay import write_bundle
from gen_jax.run import Examiner, initial_state, picture, wanted_state
from gen_jax.run_directory import RunDirectory, default_run_dir
from gen_jax.training import keys
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.distributed import is_leader
from gen_jax.training.grid import write_png
from gen_jax.training.loop import Cadence, Trouble, train
from gen_jax.training.metrics_log import MetricsLog
from gen_jax.training.nonfinite import find_culprit
from gen_jax.training.preemption import Preemption
from gen_jax.training.program import Program
from gen_jax.training.progress import Reporter, duration
from gen_jax.training.sharding import replicated, split_batch, state_shardings
from gen_jax.training.state import State
from gen_jax.training.storage import first_line

# After so many steps left out, what is wrong is not the batches.
MOST_SKIPPED = 10


class TrainingRun:
    """Everything of one run while it is trained.

    All that can be wrong with the request is looked at before anything is compiled.
    """

    def __init__(self, experiment: Experiment, config: Config, console: Console):
        self.experiment, self.config, self.console = experiment, config, console
        config.check()
        self.directory = RunDirectory(config.run_dir or default_run_dir(experiment.name, config.data))
        self.directory.claim()
        self.directory.check_same(experiment.identity["module"], config)
        self.dataset = load_dataset(
            config.data, data_dir=config.data_dir, image_size=config.image_size, skip_bad_images=config.skip_bad_images
        )
        self.info = DataInfo.of(self.dataset)
        self.directory.check_same(experiment.identity["module"], config, self.info.as_json())
        self.mesh = mesh_for(config)
        check_batch_size(config, self.info, self.mesh.size)
        self.game = experiment.build(config, self.info)
        self.wanted = wanted_state(self.game, self.info, self.mesh)
        self.trouble = Trouble(self.say)
        # Grids that a disk would not take; they are written before the next checkpoint.
        self._pictures: dict[epath.Path, np.ndarray] = {}
        self.checkpoints: Checkpoints
        self.log: MetricsLog

    @property
    def identity(self) -> dict[str, object]:
        """What the run learns: what a checkpoint must have in common with it."""
        free = free_fields(type(self.config))
        learned = {name: value for name, value in as_json(self.config).items() if name not in free}
        return {"experiment": self.experiment.identity["module"], "config": learned, "data": self.info.as_json()}

    def say(self, line: str) -> None:
        """Prints a line, above the bar if there is one."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def record(self) -> None:
        """Writes config.json."""
        if is_leader():
            self.directory.record(self.experiment.identity, self.config, self.info.as_json())

    def program(self, begin: int) -> Program:
        """The compiled step, fed from step `begin` on."""
        source = open_source(
            self.dataset.train,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            draws=self.game.draws,
            sharding=replicated(self.mesh),
            stream_sharding=split_batch(self.mesh, axis=1),
            start=begin,
        )
        shardings = state_shardings(self.mesh, self.wanted)
        reproducible = self.config.reproducible
        return Program(self.game, source, self.mesh, self.config.seed, shardings=shardings, reproducible=reproducible)

    def batches_of(self, step: int) -> list[dict[str, np.ndarray]]:
        """What a step, counted from 1, draws; on the host."""
        source = self.program(step - 1).source
        feed = source.feed(step - 1)
        # Of what is spread over processes each has only its share.
        gather = jax.jit(lambda batch: batch, out_shardings=replicated(self.mesh))
        batches = [jax.device_get(gather(dict(source.batch(feed, step - 1, n)))) for n in range(self.game.draws)]
        source.close()
        return batches

    def begin(self) -> tuple[int | None, State]:
        """The newest intact checkpoint and its step, or None and the initial state where nothing was ever saved."""
        found = self.checkpoints.restore_newest(self.wanted)
        if found is not None:
            return found
        make = functools.partial(initial_state, self.game, self.info)
        shardings = state_shardings(self.mesh, self.wanted)
        return None, jax.jit(make, out_shardings=shardings)(jax.random.key(self.config.seed))

    def write_pictures(self) -> None:
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

    def train(self) -> None:
        """Trains to the end, however often it has to go back on the way."""
        config = self.config
        cadence = Cadence(config.steps, config.log_every, config.eval_every, config.save_every)
        examiner = Examiner(self.game, self.dataset, self.mesh, config, cheap_sample_metrics(self.dataset))
        grid_key = keys.derive(jax.random.key(config.seed), "grid")
        grid_size = config.grid_samples * (1 if self.info.is_image else 32)

        def evaluate(step: int, state: State) -> Mapping[str, float]:
            samples = examiner.sampler(state, grid_key, grid_size)
            self._pictures[self.directory.samples(step)] = picture(samples, self.dataset)
            try:
                self.write_pictures()
            except StorageError as error:
                self.trouble.report(str(error))
            found = examiner(state)
            if config.keep_best is not None and config.keep_best not in found:
                known = ", ".join(sorted(found))
                raise ConfigError(f"--keep-best is {config.keep_best}; accepted: {known}")
            return found

        with Preemption() as preemption:
            start, state = self.begin()
            begun = start or 0
            self.log = MetricsLog(self.directory.path, begun, writes=is_leader(), report=self.say)
            skipped = self.directory.read_skipped()
            reporter = Reporter(self.console, begun, config.steps, config.batch_size * self.game.draws)
            describe(reporter, self.info, state, config, start)
            clock = time.perf_counter()
            while True:
                program = self.program(begun)
                try:
                    with reporter:
                        state = train(
                            program,
                            state,
                            cadence,
                            checkpoints=self.checkpoints,
                            log=self.log,
                            reporter=reporter,
                            evaluate=evaluate,
                            write=self.write_pictures,
                            trouble=self.trouble,
                            requested=preemption.requested,
                            skipped=skipped,
                        )
                    break
                except NonFiniteError as error:
                    skipped = self.without_culprit(error, skipped)
                    start, state = self.begin()
                    begun = start or 0
                    self.log.rewind(begun)
                    reporter = Reporter(self.console, begun, config.steps, config.batch_size * self.game.draws)
                finally:
                    program.source.close()
        if start is not None and start >= config.steps:
            reporter.say(f"already finished: {start} of {config.steps} steps are done")
        else:
            reporter.say(f"finished {config.steps} steps in {duration(time.perf_counter() - clock)}")
        reporter.say(f"run      {self.directory.path}")
        reporter.say(f"samples  {self.directory.samples(int(state.step))}")

    def without_culprit(self, error: NonFiniteError, skipped: frozenset[int]) -> frozenset[int]:
        """Finds the step that made the error, leaves a bundle of it, and adds it to the steps that are left out.

        Raises:
          NonFiniteError: the run is to stop at such a step, or has left out too many.
        """
        self.say(
            "a number stopped being finite: taking the steps since the last checkpoint again to find which made it"
        )
        self.checkpoints.close()
        start, state = self.begin()
        program = self.program(start or 0)
        try:
            culprit = find_culprit(program, state, error.step, skipped)
        finally:
            program.source.close()
        if culprit is None:
            raise NonFiniteError(
                f"{error}; taking the steps again made no such number: suspect the machine, and run it again",
                error.step,
            )
        batches = self.batches_of(culprit.step)
        try:
            command = write_bundle(self.directory.bundle(culprit.step), culprit, batches, self.identity)
            left = f"; to reproduce it: {command}"
        except (OSError, StorageError) as problem:
            left = f"; what reproduces it could not be written: {first_line(problem)}"
        what = f"{', '.join(culprit.names[:5])} stopped being finite in step {culprit.step}"
        if self.config.on_nonfinite == "stop":
            raise NonFiniteError(f"{what}{left}, or --on-nonfinite rollback to leave it out", culprit.step)
        if len(skipped) >= MOST_SKIPPED:
            raise NonFiniteError(f"{what}, after {len(skipped)} other steps were left out{left}", culprit.step)
        skipped = skipped | {culprit.step}
        if is_leader():
            self.directory.write_skipped(skipped)
        self.say(f"{what}: leaving it out, step {len(skipped)} of at most {MOST_SKIPPED} left out{left}")
        return skipped


def train_run(experiment: Experiment, config: Config, console: Console | None = None) -> epath.Path:
    """Trains, or continues, the run that a configuration describes. Returns its directory.

    Raises:
      ConfigError, DataError: the request cannot be carried out.
      NonFiniteError: the numbers stopped being finite.
      Preempted: SIGTERM or SIGINT came, and the state is saved.
      StorageError: the state could not be saved.
    """
    console = console or Console(quiet=not is_leader())
    run = TrainingRun(experiment, config, console)
    with run.directory.lock() if is_leader() else contextlib.nullcontext():
        # Another training may have been here since it was looked at.
        run.directory.check_same(experiment.identity["module"], config, run.info.as_json())
        run.record()
        run.checkpoints = Checkpoints(
            run.directory.checkpoints,
            config.keep,
            best=config.keep_best,
            identity=run.identity,
            report=run.trouble.report,
        )
        try:
            run.train()
        finally:
            if hasattr(run, "log"):
                run.log.close()
            run.checkpoints.close()
    return run.directory.path


def describe(reporter: Reporter, info: DataInfo, state: State, config: Config, begin: int | None) -> None:
    """Says what is about to be trained, on what and where."""
    parameters = {net: sum(leaf.size for leaf in jax.tree.leaves(tree)) for net, tree in state.params.items()}
    reporter.say(
        f"data     {info.name}: {info.train_size:,} examples of {'x'.join(map(str, info.shape))}, "
        f"{info.held_out_size:,} held out"
    )
    reporter.say("nets     " + ", ".join(f"{net} {count:,}" for net, count in parameters.items()) + " parameters")
    devices = jax.devices()
    reporter.say(f"devices  {len(devices)} {devices[0].device_kind}, {config.precision}, batch {config.batch_size}")
    if begin is not None:
        reporter.say(f"continuing after step {begin}")
