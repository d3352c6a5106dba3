import os
import sys

import pytest

from benchmarks.speed import startup
from benchmarks.speed.measuring import WorkerFailed

COMMAND = """
import os, pathlib, sys, time
run = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
assert sys.argv[sys.argv.index("--steps") + 1] == "1"
assert "JAX_COMPILATION_CACHE_DIR" not in os.environ, "whoever measures must not decide it"
cache = pathlib.Path(os.environ["GEN_JAX_CACHE"])
print("data     nothing", flush=True)
if {fails}:
    sys.exit("error: no")
print("step 1/1  loss 1" + (" warm" if cache.exists() else " cold"), flush=True)
cache.mkdir(parents=True, exist_ok=True)
(run / "samples").mkdir(parents=True)
(run / "samples" / "00000001.png").touch()
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A module that is found by the processes that are started."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "somewhere")

    def make(name, fails=False):
        (tmp_path / f"{name}.py").write_text(COMMAND.replace("{fails}", str(fails)))
        return name

    return make


def test_cold_and_warm_are_two_runs_with_one_cache(command, tmp_path):
    found = startup.started(command("pretended"), tmp_path / "runs", "cpu")
    assert found.command == "pretended"
    for times in (found.cold, found.warm):
        assert times.keys() == {"first step", "first samples"}
        assert all(seconds > 0 for seconds in times.values())
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"cold", "warm", "cache"}


def test_a_command_that_fails_is_told_with_its_last_words(command, tmp_path):
    with pytest.raises(WorkerFailed, match="ended with code 1: error: no"):
        startup.started(command("failing", fails=True), tmp_path / "runs", "cpu")
