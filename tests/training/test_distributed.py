import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from gen_jax.errors import ConfigError
from gen_jax.shell.launch import free_address, launch
from gen_jax.training import distributed


def test_one_process_has_nobody_to_join_and_leads():
    distributed.initialize(False)
    assert not jax.distributed.is_initialized()
    assert distributed.is_leader()
    distributed.leave(1)


def test_nobody_to_join_on_a_cluster_is_an_error(monkeypatch):
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=r"^--distributed \(a TPU pod, SLURM, .*cannot be joined: "):
        distributed.initialize(True)
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize("process", ["1", "one", None])
def test_incomplete_environment_or_absent_leader_is_an_error(process, monkeypatch):
    monkeypatch.setattr(distributed, "wait_for_leader", functools.partial(distributed.wait_for_leader, timeout=0.1))
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", free_address())
    monkeypatch.setenv(distributed.PROCESSES, "2")
    if process is not None:
        monkeypatch.setenv(distributed.PROCESS_ID, process)
    with pytest.raises(
        ConfigError, match=r"^GEN_JAX_PROCESSES is set, but the other .* cannot be joined: .+$"
    ) as error:
        distributed.initialize(False)
    assert "\n" not in str(error.value)


def test_leader_is_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as server:
        distributed.wait_for_leader(f"127.0.0.1:{server.getsockname()[1]}")
    with pytest.raises(OSError, match="Connection refused"):
        distributed.wait_for_leader(free_address(), timeout=0.1)


MEETS = """
import os, signal, sys, time
signal.alarm(120)
from gen_jax.training import distributed
for _ in range(2):
    distributed.initialize(False)
import jax
process = int(os.environ["GEN_JAX_PROCESS_ID"])
from jax.experimental.multihost_utils import broadcast_one_to_all
found = int(broadcast_one_to_all(40 + process)), distributed.is_leader(), jax.process_count(), jax.local_device_count()
"""

# Who comes late finds those who wait for it.
ALL_LEAVE = """
time.sleep(0.5 * process)
distributed.leave(4)
with open(f"{process}.txt", "w") as file:
    file.write(str(found))
sys.exit(4)
"""

ONE_LEAVES = """
if process == 1:
    distributed.leave(3, patience=0.5)
    open("came back", "w").close()
broadcast_one_to_all(1)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return lambda code: launch([sys.executable, "-c", MEETS + code], 2, devices=3)


@pytest.mark.slow
def test_processes_meet_agree_and_leave_together(run, tmp_path):
    assert run(ALL_LEAVE) == 4
    for process in range(2):
        assert (tmp_path / f"{process}.txt").read_text() == str((40, process == 0, 2, 3))


@pytest.mark.slow
def test_process_that_leaves_alone_does_not_wait_forever(run, tmp_path):
    assert run(ONE_LEAVES) == 3
    assert not (tmp_path / "came back").exists()


def devices_after(code, **environment):
    """How many devices JAX has in a process of its own that ran some code."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    program = (
        f"from gen_jax.host.cpu_devices import split_the_cpu, was_split\n{code}\nimport jax\nprint(jax.device_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=inherited | environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.slow
def test_a_run_in_one_piece_has_the_first_device_of_a_cpu_that_its_command_has_split(tmp_path):
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from gen_jax.shell.train import main
from toy_experiment import EXPERIMENT
main(EXPERIMENT, ["--run-dir", {str(tmp_path / "run")!r}, "--steps", "2"])
import jax
print("all", jax.device_count())
"""
    inherited = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    done = subprocess.run([sys.executable, "-c", program], env=inherited, capture_output=True, text=True, check=True)
    assert "devices  1 cpu, float32" in done.stdout
    assert "all 2" in done.stdout
    assert json.loads((tmp_path / "run" / "config.json").read_text())["host"] == {"cpu_parts": 1}


@pytest.mark.slow
def test_the_cpu_is_split_where_nobody_has_said_otherwise():
    assert devices_after("split_the_cpu(3)\nassert was_split()") == 3
    assert devices_after("split_the_cpu(1)") == 1
    assert devices_after("split_the_cpu(2)\nassert not was_split()", JAX_NUM_CPU_DEVICES="1") == 1
    assert devices_after("split_the_cpu(2)", XLA_FLAGS="--xla_force_host_platform_device_count=5") == 5
    assert devices_after("import jax\njax.devices()\nsplit_the_cpu(2)") == 1
