"""What a training survives: disks that vanish, signals, resuming elsewhere. In the process, at steps of choice."""

import dataclasses
import errno
import io
import json
import os
import shutil
import signal
import time

import jax
import orbax.checkpoint as ocp
import pytest
import toy_experiment
from rich.console import Console
from small_networks import first_pixels

import gen_jax
from gen_jax.data import load_dataset, toys
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError, NonFiniteError, Preempted, StorageError
from gen_jax.metrics.score import read_scores
from gen_jax.reports.report import report_of
from gen_jax.run.devices import mesh_for
from gen_jax.run.train import train_run
from gen_jax.training.metrics_log import MetricsLog

STEPS = 12
TOY = dataclasses.replace(toy_experiment.EXPERIMENT.presets["default"], steps=STEPS, eval_every=5)


class Training:
    """A run in a directory, during which something happens when the metrics of a step are logged."""

    def __init__(self, directory, monkeypatch):
        self.directory, self.happens, self.output = directory, {}, io.StringIO()
        write = MetricsLog.write

        def write_and_see(log, step, split, *metrics):
            write(log, step, split, *metrics)
            if split == "train":
                self.happens.pop(step, lambda: None)()

        monkeypatch.setattr(MetricsLog, "write", write_and_see)

    def __call__(self, happens=(), **changes):
        self.happens = dict(happens)
        config = dataclasses.replace(TOY, run_dir=str(self.directory), **changes)
        train_run(toy_experiment.EXPERIMENT, config, Console(file=self.output, width=1000), report_of)

    def said(self, text):
        return [line for line in self.output.getvalue().splitlines() if text in line]

    @property
    def steps(self):
        return sorted(int(path.name) for path in (self.directory / "checkpoints").iterdir() if path.name.isdigit())

    @property
    def result(self):
        """All that a run leaves and that has to be the same."""
        grids = {path.name: path.read_bytes() for path in (self.directory / "samples").iterdir()}
        return gen_jax.load(self.directory).digest(), (self.directory / "metrics.jsonl").read_text(), grids


@pytest.fixture(autouse=True, scope="module")
def few_points_held_out():
    """Most of the time of these runs would be their evaluation."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(toys, "TEST_SIZE", 500)
        yield


@pytest.fixture
def training(tmp_path, monkeypatch):
    return Training(tmp_path / "run", monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        training = Training(tmp_path_factory.mktemp("undisturbed") / "run", monkeypatch)
        training()
    return training.result


def wait_for_saves(run):
    """Until none is under way, deletions included: it would make a directory again that is being removed."""
    while len(names := os.listdir(run / "checkpoints")) > TOY.keep or not all(map(str.isdigit, names)):
        time.sleep(0.001)


def stop(number=signal.SIGTERM):
    """Asks the run to stop."""
    os.kill(os.getpid(), number)


class Away:
    """A file in the place of a directory: nothing can be saved there, even by root."""

    def __init__(self, run, name=""):
        self.run, self.directory = run, run / name
        self.aside = self.directory.with_name("aside")

    def take(self):
        wait_for_saves(self.run)
        self.directory.rename(self.aside)
        self.directory.touch()

    def put_back(self):
        self.directory.unlink()
        self.aside.rename(self.directory)


def test_checkpoints_that_cannot_be_written_for_a_while_are_one_warning(training, undisturbed):
    away = Away(training.directory, "checkpoints")
    training({3: away.take, 9: away.put_back})
    (warning,) = training.said("warning")
    assert warning == (
        f"warning: cannot save: {training.directory}/checkpoints cannot be read: Not a directory; "
        "training goes on, and the next save tries again"
    )
    assert training.said("works again") == ["saving works again"]
    assert training.steps == [10, 12]
    assert training.result == undisturbed


def test_a_run_directory_that_cannot_be_written_for_a_while_loses_neither_lines_nor_grids(training, undisturbed):
    away = Away(training.directory)
    training({3: away.take, 9: away.put_back})
    assert len(training.said("warning")) == len(training.said("works again")) == 1
    assert training.steps == [10, 12]
    assert training.result == undisturbed


def test_a_state_that_cannot_be_saved_to_the_end_is_an_error_and_the_one_before_continues(training, undisturbed):
    away = Away(training.directory, "checkpoints")
    with pytest.raises(StorageError, match="checkpoints cannot be read: Not a directory"):
        training({7: away.take})
    assert StorageError.exit_code == 74
    away.put_back()
    assert training.steps == [4, 6]
    training()
    assert training.said("continuing after") == ["continuing after step 6"]
    assert training.result == undisturbed


def test_a_disk_that_takes_the_beginning_of_each_save_only_is_one_warning(training, undisturbed, monkeypatch):
    full = iter([True] * 3)

    def finalize(handler, directory):
        if "state" in str(directory) and next(full, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ocp.StandardCheckpointHandler, "finalize", finalize)
    training(save_every=1, eval_every=0)
    # Steps 1, 2 and 3 fail in the background; that 4 has not is known when 5 is saved.
    assert training.said("warning") == [
        "warning: cannot save: step 1 could not be saved: No space left on device; "
        "training goes on, and the next save tries again"
    ]
    assert training.said("works again") == ["saving works again"]
    assert training.steps == [11, 12]


def test_a_damaged_checkpoint_is_reported_as_what_it_is(training, undisturbed):
    with pytest.raises(Preempted):
        training({8: stop})
    before, newest = training.steps
    (training.directory / "checkpoints" / str(newest) / "state" / "manifest.ocdbt").unlink()
    training()
    assert training.said("warning") == training.said("works again") == []
    (line,) = training.said("is damaged")
    assert line.startswith(f"the checkpoint of step {newest} is damaged (")
    assert line.endswith(f"): moved to {training.directory}/damaged/{newest}")
    assert training.said("continuing after") == [f"continuing after step {before}"]
    assert training.result == undisturbed


def test_a_checkpoint_of_another_run_is_not_loaded(training, tmp_path, monkeypatch):
    training(steps=2)
    other = Training(tmp_path / "other", monkeypatch)
    other(steps=4, seed=1)
    shutil.copytree(other.directory / "checkpoints" / "4", training.directory / "checkpoints" / "4")
    with pytest.warns(UserWarning, match=r"step 4 is damaged \(it belongs to another run\): passed over"):
        assert gen_jax.load(training.directory).step == 2


def test_a_run_of_a_version_that_knew_fewer_options_goes_on(training, undisturbed):
    with pytest.raises(Preempted):
        training({6: stop})
    path = training.directory / "config.json"
    stored = json.loads(path.read_text())
    del stored["config"]["power"]
    path.write_text(json.dumps(stored))
    training()
    assert training.result == undisturbed


def test_a_run_directory_that_vanishes_is_made_again_and_its_log_written_whole(training, undisturbed):
    def vanish():
        wait_for_saves(training.directory)
        shutil.rmtree(training.directory)

    training({7: vanish})
    digest, lines, grids = training.result
    assert (digest, lines) == undisturbed[:2]
    # The grid of step 5 was removed with the rest.
    assert grids == {name: grid for name, grid in undisturbed[2].items() if name != "00000005.png"}
    assert (training.directory / "config.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [1, 5, 6])
def test_a_signal_saves_the_step_and_the_same_command_goes_on(training, undisturbed, step, number):
    with pytest.raises(Preempted) as preempted:
        training({step: lambda: stop(number)})
    # The metrics of a step are logged when the next one is under way, or when it is evaluated or saved.
    saved = max(training.steps)
    assert saved in (step, step + 1, step + 2)
    assert str(preempted.value) == f"preempted after step {saved}, saved; the same command continues"
    assert preempted.value.exit_code == 75
    training()
    assert training.said("continuing after") == [f"continuing after step {saved}"]
    assert training.result == undisturbed


def test_a_run_that_is_finished_is_not_preempted(training, undisturbed):
    training({STEPS: stop})
    assert training.result == undisturbed


def test_a_run_goes_on_with_the_state_split_over_devices_and_whole_again(training, undisturbed):
    for steps, fsdp in ((4, 2), (8, 8), (STEPS, 1)):
        training(steps=steps, fsdp=fsdp)
    digest, lines, _ = training.result
    # The values of the parameters are those of the unbroken run: nothing is added up over the axis of the split.
    assert digest == undisturbed[0]
    assert [json.loads(line)["step"] for line in lines.splitlines() if "train" in line] == [*range(1, STEPS + 1)]


def test_the_best_step_is_kept_beside_the_newest(training):
    training(eval_every=2, keep_best="loss", keep=2)
    found = {
        line["step"]: line["loss"]
        for line in map(json.loads, training.result[1].splitlines())
        if "eval" in line.values()
    }
    best = min(found, key=found.get)
    assert training.steps == sorted({best, 10, 12})


def test_a_metric_that_is_not_measured_cannot_be_the_best_and_nothing_is_begun(training):
    with pytest.raises(ConfigError, match=r"^--keep-best is elbo; accepted: high_quality, loss, modes$"):
        training(keep_best="elbo")
    assert not training.directory.exists()


def test_numbers_that_never_become_finite_again_end_the_run(training, monkeypatch):
    monkeypatch.setattr("gen_jax.run.rollback.MOST_SKIPPED", 2)
    # The rate is NaN from the third update that is made on, whichever batch it is made for.
    with pytest.raises(NonFiniteError, match="stopped being finite in step 5, after 2 other steps were left out"):
        training(nan_at=3, on_nonfinite="rollback")
    assert json.loads((training.directory / "skipped.json").read_text()) == [3, 4]
    assert max(training.steps) < 5


def test_a_nan_that_does_not_come_again_is_the_machines(training, monkeypatch):
    monkeypatch.setattr("gen_jax.run.rollback.find_culprit", lambda *arguments: None)
    with pytest.raises(NonFiniteError, match="taking the steps again made no such number: suspect the machine"):
        training(nan_at=3)


def test_a_bundle_that_the_disk_does_not_take_is_said_to_be_missing(training):
    away = "stopped being finite in step 3; what reproduces it could not be written: "
    with pytest.raises(NonFiniteError, match=away):
        training({2: (training.directory / "nonfinite").touch}, nan_at=3)


@pytest.fixture
def refused(monkeypatch):
    """What is said of a configuration on so many devices."""

    def check(count=8, **changes):
        with monkeypatch.context() as few:
            few.setattr("gen_jax.run.devices.devices_for", lambda config, cpu_parts: jax.devices()[:count])
            with pytest.raises(ConfigError) as error:
                mesh_for(dataclasses.replace(TOY, **changes))
        return str(error.value)

    return check


def test_devices_that_cannot_do_what_was_asked_are_refused(refused):
    assert refused(fsdp=3) == "--fsdp is 3; accepted: a number that divides the 8 devices"
    assert refused(fsdp=2, reproducible=True) == "--fsdp is 2; accepted with --reproducible: 1"
    assert refused(accumulate=2, reproducible=True) == "--accumulate is 2; accepted with --reproducible: 1"
    assert refused(count=6, reproducible=True) == "--reproducible needs 1, 2, 4 or 8 devices; there are 6"
    assert refused(batch_size=12, reproducible=True) == (
        "--batch-size is 12; accepted with --reproducible: a multiple of 8"
    )
    assert refused(count=1, reproducible=True) == (
        "--reproducible needs the CPU to be two devices: set JAX_NUM_CPU_DEVICES=2 before JAX is used"
    )


def test_devices_that_can_are_all_taken():
    assert dict(mesh_for(TOY).shape) == {"data": 8, "fsdp": 1}
    assert dict(mesh_for(dataclasses.replace(TOY, fsdp=4)).shape) == {"data": 2, "fsdp": 4}
    assert mesh_for(dataclasses.replace(TOY, reproducible=True)).size == 8


def test_evaluation_refuses_other_data_than_the_runs(training, monkeypatch):
    training(steps=2)
    run = gen_jax.load(training.directory)
    known = DataInfo.of(load_dataset("ring8"))
    monkeypatch.setattr(DataInfo, "of", lambda dataset: dataclasses.replace(known, fingerprint="another"))
    with pytest.raises(ConfigError) as error:
        run.evaluate()
    assert str(error.value) == (
        f"the data ring8 are not those of the run: fingerprint another, not {known.fingerprint}"
    )


# Scores during training, and the page at the end


def test_scores_of_samples_are_measured_at_each_evaluation_and_may_decide_what_is_kept(training, monkeypatch):
    monkeypatch.setattr("gen_jax.metrics.feature_scores.feature_network", lambda *args, **options: first_pixels(20))
    name = "fid_50_pixels_classifier"
    training(data="digits", eval_metrics=("fid", "precision_recall"), eval_samples=50, keep_best=name)
    lines = [json.loads(line) for line in (training.directory / "metrics.jsonl").read_text().splitlines()]
    scores = [line for line in lines if line["split"] == "eval"]
    assert [line["step"] for line in scores] == [5, 10, 12]
    assert all(line[name] > 0 and 0 <= line["recall_50_pixels_classifier"] <= 1 for line in scores)
    # Each is a score with all that it depends on, and the one that is found when the run is evaluated alike.
    stored = {(score.metric, score.step): score for score in read_scores(training.directory / "scores.jsonl")}
    assert len(stored) == 9
    assert {(n, s): score.value for (n, s), score in stored.items()} == {
        (n, line["step"]): line[n] for line in scores for n in line if n.endswith("classifier")
    }
    monkeypatch.setattr("gen_jax.measures.subject.feature_network", lambda *args: first_pixels(20))
    (fid,) = gen_jax.load(training.directory).evaluate("fid", samples=50)
    assert stored[name, 12].as_json() == {**fid.as_json(), "value": pytest.approx(fid.value, rel=1e-4)}


def test_scores_that_cannot_be_stored_are_a_warning(training, monkeypatch):
    def full(path, scores):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gen_jax.metrics.feature_scores.feature_network", lambda *args, **options: first_pixels(20))
    monkeypatch.setattr("gen_jax.run.train.store_scores", full)
    training(data="digits", eval_metrics=("fid",), eval_samples=50, steps=5)
    (line,) = training.said("scores.jsonl could not be written")
    assert "No space left on device" in line


def test_a_score_that_does_not_apply_is_refused_before_training(training):
    with pytest.raises(ConfigError, match="--eval-metrics does not apply to ring8: it has points, not images"):
        training(eval_metrics=("fid",))
    assert not training.directory.exists()


def test_the_report_is_written_at_the_end_and_again_when_the_run_has_gone_on(training):
    training(report=True, steps=2)
    page = training.directory / "report.html"
    assert training.said("report   ") == [f"report   {page}"]
    written = page.stat().st_mtime_ns
    training(report=True, steps=2)
    assert page.stat().st_mtime_ns == written
    training(report=True, steps=4)
    assert page.stat().st_mtime_ns > written


def test_a_report_that_fails_is_one_warning_and_the_run_no_worse(training, monkeypatch):
    def fails(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gen_jax.reports.report.write_page", fails)
    training(report=True, steps=2)
    page = training.directory / "report.html"
    assert training.said("warning") == [f"warning: no report: {page} could not be written: No space left on device"]
    assert training.steps == [2]
