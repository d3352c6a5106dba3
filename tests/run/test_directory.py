import contextlib
import dataclasses
import errno
import fcntl
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_experiment
from toy_experiment import ToyConfig

from gen_jax import main
from gen_jax.data import load_dataset
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.run.directory import RunDirectory, default_run_dir, versions

CONFIG = ToyConfig(data="ring8", batch_size=16)
DATA = {
    "name": "ring8",
    "shape": [2],
    "class_names": None,
    "train_size": 100,
    "held_out_size": 10,
    "fingerprint": "aaaa",
}
IDENTITY = {"module": "toy_experiment", "file": ""}


def recorded(path, config=CONFIG):
    directory = RunDirectory(path)
    directory.record(IDENTITY, config, DATA)
    return directory


def refused(text):
    return pytest.raises(ConfigError, match=f"^{re.escape(text)}")


def test_claim_takes_what_is_missing_or_empty_or_a_run_and_creates_nothing(tmp_path):
    for path in (tmp_path / "missing" / "below", tmp_path):
        RunDirectory(path).claim()
    assert list(tmp_path.iterdir()) == []
    recorded(tmp_path / "run").claim()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_claim_takes_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("runs/vae-digits", "here", "."):
        RunDirectory(path).claim()
    assert list(tmp_path.iterdir()) == []


def test_claim_refuses_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with refused(f"--run-dir {path} is a file, not a directory"):
        RunDirectory(path).claim()
    assert path.read_text() == "mine"


def test_claim_refuses_a_directory_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with refused(f"--run-dir {tmp_path} is not a run directory: it holds files but no config.json"):
        RunDirectory(tmp_path).claim()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_claim_refuses_a_place_below_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / "run"
    with refused(f"--run-dir {path} cannot be created: {tmp_path}/file is a file"):
        RunDirectory(path).claim()


def test_claim_refuses_a_place_where_nothing_may_be_written(tmp_path, monkeypatch):
    # Root may write anywhere, so the question is answered for it.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    path = tmp_path / "run"
    with refused(f"--run-dir {path} is not writable: no permission to write in {tmp_path}"):
        RunDirectory(path).claim()


def test_record_says_why_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("mine")
    with refused(f"--run-dir {tmp_path}/file/run is not writable: Not a directory"):
        recorded(tmp_path / "file" / "run")


def test_what_was_recorded_is_read_again(tmp_path):
    stored = recorded(tmp_path / "a" / "b").read()
    assert stored["experiment"] == IDENTITY
    assert stored["config"]["batch_size"] == 16
    assert stored["config"]["widths"] == [1, 2]
    assert stored["data"] == DATA
    assert stored["versions"] == versions()
    assert {"python", "jax", "flax", "optax", "gen_jax"} <= set(stored["versions"])
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["config.json"]


def test_read_refuses_what_is_no_run(tmp_path):
    with refused(f"{tmp_path}/none does not exist; a run directory was wanted"):
        RunDirectory(tmp_path / "none").read()
    with refused(f"{tmp_path} is not a run directory: it has no config.json"):
        RunDirectory(tmp_path).read()


def corrupt(key=None, value=None):
    stored = {"experiment": IDENTITY, "config": {}, "data": DATA, "versions": {}}
    if key is not None:
        stored[key] = value
    return json.dumps(stored).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        corrupt()[:-20],
        b"[1, 2]",
        b"null",
        b"{}",
        b"\xff\xfe\x00",
        corrupt("experiment", {}),
        corrupt("experiment", "experiments.vae"),
        corrupt("config", 3),
        corrupt("data", {"name": "ring8"}),
        corrupt("data", "ring8"),
        corrupt("data", {**DATA, "from_the_future": 1}),
        corrupt("versions", None),
    ],
)
def test_read_refuses_a_corrupt_configuration_by_name(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with refused(f"{tmp_path}/config.json is not the configuration of a run: ") as raised:
        RunDirectory(tmp_path).read()
    assert "\n" not in str(raised.value)


def test_corruption_in_these_tests_starts_from_a_good_configuration(tmp_path):
    (tmp_path / "config.json").write_bytes(corrupt())
    assert RunDirectory(tmp_path).read()["data"] == DATA


def test_what_the_host_has_decided_is_noted(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    assert directory.host() is None
    directory.record(IDENTITY, CONFIG, DATA, {"cpu_parts": 2})
    assert json.loads((tmp_path / "run" / "config.json").read_text())["host"] == {"cpu_parts": 2}
    assert directory.host() == directory.read()["host"] == {"cpu_parts": 2}
    assert recorded(tmp_path / "other").host() == {"cpu_parts": 1}


@pytest.mark.parametrize(("configured", "parts"), [({"cpu_parts": 2}, 2), ({}, 1)])
def test_what_was_configured_before_the_host_decided_is_noted_and_tells_no_runs_apart(tmp_path, configured, parts):
    directory = recorded(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["host"]
    stored["config"] |= configured
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert directory.host() == {"cpu_parts": parts}
    assert "cpu_parts" not in directory.read()["config"]
    directory.check_same("toy_experiment", CONFIG, DATA)


@pytest.mark.parametrize("host", [{}, [], {"cpu_parts": 0}, {"cpu_parts": "2"}, None])
def test_a_note_that_cannot_be_read_is_refused(tmp_path, host):
    directory = recorded(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, "host": host}))
    with refused(f"{tmp_path / 'config.json'} is not the configuration of a run"):
        directory.read()


def test_same_run_may_change_what_does_not_change_the_learning(tmp_path):
    directory = recorded(tmp_path)
    free = {"steps": 99, "log_every": 7, "eval_every": 7, "save_every": 7, "keep": 5, "grid_samples": 9}
    here = dataclasses.replace(CONFIG, run_dir="elsewhere", data_dir="there", preset="tiny", **free)
    directory.check_same("toy_experiment", here, DATA)


def test_no_run_is_the_same_as_any(tmp_path):
    RunDirectory(tmp_path / "none").check_same("toy_experiment", CONFIG, DATA)


def test_each_field_that_differs_is_named_with_both_values(tmp_path):
    directory = recorded(tmp_path)
    here = dataclasses.replace(CONFIG, batch_size=32, learning_rate=0.25, widths=(5,), image_size=8, steps=99)
    with pytest.raises(ConfigError) as raised:
        directory.check_same("toy_experiment", here)
    assert str(raised.value) == (
        f"{tmp_path} holds a run of another configuration: --batch-size is 16 there and 32 here; "
        "--image-size is None there and 8 here; --learning-rate is 0.1 there and 0.25 here; "
        "--widths is 1 2 there and 5 here "
        "(name another --run-dir, or repeat the options of the run to continue it)"
    )


def test_another_experiment_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"the experiment is toy_experiment there and experiments\.vae here"):
        recorded(tmp_path).check_same("experiments.vae", CONFIG)


def test_data_that_changed_are_named(tmp_path):
    here = {**DATA, "train_size": 120, "fingerprint": "bbbb"}
    with pytest.raises(ConfigError) as raised:
        recorded(tmp_path).check_same("toy_experiment", CONFIG, here)
    assert "the data's fingerprint is aaaa there and bbbb here" in str(raised.value)
    assert "the data's train_size is 100 there and 120 here" in str(raised.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("digits", "runs/vae-digits"),
        ("folder:/data/faces", "runs/vae-folder-faces"),
        ("folder:faces/", "runs/vae-folder-faces"),
    ],
)
def test_default_directory_names_experiment_and_data(data, expected):
    assert default_run_dir("vae", data) == expected


def test_pictures_sort_by_step(tmp_path):
    directory = RunDirectory(tmp_path)
    assert directory.samples(7) == tmp_path / "samples" / "00000007.png"
    assert str(directory.samples(900)) < str(directory.samples(1000))


HOLDS = """
import sys
from gen_jax.run.directory import RunDirectory
with RunDirectory(sys.argv[1]).lock():
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Starts another process that keeps the lock of a directory until its stdin is closed, or it is killed."""
    with contextlib.ExitStack() as stack:

        def start(path=tmp_path):
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
            process = subprocess.Popen(
                [sys.executable, "-c", HOLDS, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                text=True,
            )
            stack.callback(process.communicate, timeout=60)
            stack.callback(process.kill)
            assert process.stdout.readline() == "locked\n"
            return process

        yield start


def test_lock_keeps_out_another_process_until_it_is_let_go(tmp_path, holder):
    process, directory = holder(), RunDirectory(tmp_path)
    for _ in range(2):
        with refused(f"--run-dir {tmp_path} is in use by another training"), directory.lock(patience=0.0):
            pytest.fail("two have the lock")
    process.communicate(timeout=60)
    assert process.returncode == 0
    with directory.lock(patience=0.0):
        assert list(tmp_path.iterdir()) == []


def test_lock_is_free_after_its_holder_was_killed(tmp_path, holder):
    process = holder()
    process.send_signal(signal.SIGKILL)
    # Not waited for: who was just killed may need a moment, which a second run allows for.
    with RunDirectory(tmp_path).lock():
        pass
    assert process.wait(60) == -signal.SIGKILL


def test_lock_waits_for_a_holder_that_ends_in_time(tmp_path, holder):
    process, naps = holder(), []

    class Time:
        monotonic = time.monotonic

        @staticmethod
        def sleep(seconds):
            naps.append(seconds)
            process.communicate(timeout=60)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gen_jax.run.directory.time", Time)
        with RunDirectory(tmp_path).lock():
            assert naps == [0.1]


def test_lock_is_let_go_when_a_training_ends_in_an_error_and_is_no_file(tmp_path):
    directory = RunDirectory(tmp_path)
    with pytest.raises(ZeroDivisionError), directory.lock():
        raise ZeroDivisionError
    with directory.lock(patience=0.0), refused("--run-dir"), RunDirectory(tmp_path).lock(patience=0.0):
        pytest.fail("two have the lock")
    assert list(tmp_path.iterdir()) == []


def test_other_directories_are_not_locked(tmp_path, holder):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    holder(tmp_path / "a")
    with RunDirectory(tmp_path / "b").lock(patience=0.0), RunDirectory(tmp_path).lock(patience=0.0):
        pass


def test_lock_is_nothing_where_there_are_no_locks(tmp_path, monkeypatch):
    def unsupported(handle, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with RunDirectory(tmp_path).lock(patience=0.0):
        pass
    with RunDirectory("gs://bucket/run").lock(patience=0.0):
        pass


@pytest.fixture
def second_run(tmp_path, holder, monkeypatch, capsys):
    """Trains in a directory where another process does; returns (exit code, stderr) and the config.json before."""
    monkeypatch.setattr(RunDirectory, "lock", functools.partialmethod(RunDirectory.lock, patience=0.0))
    toy = toy_experiment.EXPERIMENT
    directory = RunDirectory(tmp_path / "run")
    # As the command itself records it.
    info = DataInfo.of(load_dataset("ring8")).as_json()
    directory.record(toy.identity, dataclasses.replace(toy.presets["default"], run_dir=str(tmp_path / "run")), info)
    holder(tmp_path / "run")

    def train(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(toy, ["--run-dir", str(tmp_path / "run"), *arguments])
        return exit.value.code, capsys.readouterr().err

    return train


def test_second_run_of_a_directory_is_refused_while_the_first_one_trains(tmp_path, second_run):
    before = (tmp_path / "run" / "config.json").read_bytes()
    assert second_run() == (2, f"error: --run-dir {tmp_path}/run is in use by another training\n")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_second_run_that_is_refused_leaves_the_configuration_of_the_first_one(tmp_path, second_run):
    before = (tmp_path / "run" / "config.json").read_bytes()
    assert second_run("--steps", "99")[0] == 2
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_no_step_is_skipped_where_nothing_says_so(tmp_path):
    assert RunDirectory(tmp_path).read_skipped() == frozenset()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [[], [7], [7, 2**31 - 1, 3]])
def test_skipped_steps_are_read_as_they_were_written(tmp_path, steps):
    directory = RunDirectory(tmp_path)
    directory.write_skipped(frozenset({1, 2}))
    directory.write_skipped(frozenset(steps))
    assert directory.read_skipped() == frozenset(steps)
    assert json.loads((tmp_path / "skipped.json").read_text()) == sorted(steps)
    assert [path.name for path in tmp_path.iterdir()] == ["skipped.json"]


def test_kill_while_skipped_steps_are_written_leaves_those_before(tmp_path, monkeypatch):
    directory = RunDirectory(tmp_path)
    directory.write_skipped(frozenset({1, 2}))

    def dies(path, text):
        with open(path, "w") as file:
            file.write(text[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(type(directory.path), "write_text", dies)
    with pytest.raises(KeyboardInterrupt):
        directory.write_skipped(frozenset({1, 2, 3}))
    assert directory.read_skipped() == {1, 2}


@pytest.mark.parametrize(
    "content", [b"", b"[3, ", b"null", b"3", b'{"a": 1}', b'["three"]', b"[[3]]", b"[null]", b"\xff\xfe"]
)
def test_damaged_skipped_steps_are_refused_by_name(tmp_path, content):
    (tmp_path / "skipped.json").write_bytes(content)
    with refused(f"{tmp_path}/skipped.json is not a list of steps: ") as raised:
        RunDirectory(tmp_path).read_skipped()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["[3.7]", '"37"'])
def test_what_is_only_nearly_a_list_of_steps_is_refused(tmp_path, content):
    (tmp_path / "skipped.json").write_text(content)
    with pytest.raises(ConfigError):
        RunDirectory(tmp_path).read_skipped()


def test_bundle_is_named_by_its_step(tmp_path):
    assert RunDirectory(tmp_path).bundle(12) == tmp_path / "nonfinite" / "12"
