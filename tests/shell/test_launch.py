import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gen_jax.__main__
import gen_jax.shell.launch
from gen_jax.errors import ConfigError
from gen_jax.shell.launch import environment, launch

# What every child does first. It holds a lock for as long as it lives, which is how a test knows that it does.
CHILD = """
import fcntl, os, signal, subprocess, sys, time

def live(name):
    global lock
    lock = open(f"{name}.lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    open(f"{name}.ready", "w").close()

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)

process = int(os.environ["GEN_JAX_PROCESS_ID"])
signal.alarm(120)
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Makes a command of a child's code; it runs in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    made = iter(range(9))

    def make(code, *arguments):
        file = tmp_path / f"child{next(made)}.py"
        file.write_text(CHILD + code)
        return [sys.executable, "-S", str(file), *arguments]

    return make


def lives(path):
    """Whether the process that locked a file, or one that inherited the lock, still runs."""
    with open(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def launcher(command, *options):
    """A launcher in a process of its own."""
    started = subprocess.Popen(
        [sys.executable, "-m", "gen_jax", "launch", *options, "--", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(gen_jax.shell.launch.__file__).rpartition("/gen_jax/")[0]},
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate(timeout=60)


def test_environment_names_the_process_its_leader_and_its_devices():
    assert environment({"HOME": "/h", "JAX_PLATFORMS": "tpu"}, "127.0.0.1:77", 4, 2, 8) == {
        "HOME": "/h",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "8",
        "JAX_COORDINATOR_ADDRESS": "127.0.0.1:77",
        "JAX_COORDINATOR_BIND_ADDRESS": "127.0.0.1:77",
        "GEN_JAX_PROCESSES": "4",
        "GEN_JAX_PROCESS_ID": "2",
    }


def test_process_0_writes_through_and_the_others_keep_quiet(command, capfd):
    says = command("print('out', process, flush=True); print('err', process, file=sys.stderr)")
    assert launch(says, 3) == 0
    assert capfd.readouterr() == ("out 0\n", "err 0\n")


def test_every_process_has_the_same_address_and_a_group_of_its_own(command, tmp_path):
    notes = command(
        "open(f'{process}.txt', 'w').write(f\"{os.getpgid(0) == os.getpid()} {os.environ['JAX_COORDINATOR_ADDRESS']}\")"
    )
    assert launch(notes, 3) == 0
    found = {(tmp_path / f"{process}.txt").read_text() for process in range(3)}
    assert len(found) == 1
    assert found.pop().startswith("True 127.0.0.1:")


def test_failed_process_shows_its_last_words_and_ends_the_others(command, capfd, tmp_path):
    fails = command("""
live(process)
if process != 1:
    time.sleep(100)
for other in (0, 2):
    wait_for(f"{other}.ready")
print("why")
sys.exit("because")
""")
    assert launch(fails, 3) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "[process 1] why\n" in err
    assert "[process 1] because\n" in err
    assert err.endswith("launch: process 1 exited with 1; stopping the others\n")
    assert not any(lives(tmp_path / f"{process}.lock") for process in range(3))


def test_killed_process_ends_the_others_with_all_they_have_started(command, capfd, tmp_path):
    dies = command("""
live(process)
if process == 0:
    inherited = os.dup(lock.fileno())
    subprocess.Popen(["sleep", "100"], pass_fds=[inherited])
    os.close(inherited)
    open("started", "w").close()
    time.sleep(100)
wait_for("started")
os.kill(os.getpid(), signal.SIGKILL)
""")
    assert launch(dies, 2) == 137
    assert capfd.readouterr().err == "launch: process 1 was ended by signal 9 (Killed); stopping the others\n"
    wait_until(lambda: not lives(tmp_path / "0.lock"))


def test_exit_code_that_looks_like_a_signal_is_passed_on(command, capfd):
    assert launch(command("sys.exit(255)"), 1) == 255
    assert capfd.readouterr().err == "launch: process 0 exited with 255\n"


@pytest.mark.parametrize("code", [2, 3, 4, 74, 75])
def test_others_may_end_by_themselves_after_what_ends_all_alike(code, command, tmp_path):
    ends = command(f"""
if process == 0:
    wait_for("1.txt")
    time.sleep(0.3)
open(f"{{process}}.txt", "w").close()
sys.exit({code})
""")
    assert launch(ends, 2) == code
    assert (tmp_path / "0.txt").exists()


def test_others_that_do_not_end_by_themselves_are_ended(command, monkeypatch, tmp_path):
    monkeypatch.setattr(gen_jax.shell.launch, "GRACE", 0.2)
    hangs = command("live(process)\nif process: wait_for('0.ready'); sys.exit(3)\ntime.sleep(100)")
    assert launch(hangs, 2) == 3
    assert not lives(tmp_path / "0.lock")


def test_success_of_one_does_not_end_the_others(command, monkeypatch, tmp_path):
    monkeypatch.setattr(gen_jax.shell.launch, "GRACE", 0.0)
    assert launch(command("if process == 0: time.sleep(0.5); open('done', 'w')"), 2) == 0
    assert (tmp_path / "done").exists()


COUNTS_STARTS = """
with open(f"{process}.starts", "a") as starts:
    starts.write(os.environ["JAX_COORDINATOR_ADDRESS"] + "\\n")
count = len(open(f"{process}.starts").readlines())
"""


def test_crash_restarts_all_on_another_port_until_they_succeed(command, capfd, tmp_path):
    # Whoever does not crash waits, so that all have counted before any is ended.
    crashes = command(
        COUNTS_STARTS + "if count == 3: sys.exit()\nopen(f'{process}.{count}', 'w')\n"
        "wait_for(f'{1 - process}.{count}')\nif process: os.abort()\ntime.sleep(100)"
    )
    assert launch(crashes, 2, restarts=5) == 0
    starts = [(tmp_path / f"{process}.starts").read_text().split() for process in range(2)]
    assert starts[0] == starts[1]
    assert len(starts[0]) == len(set(starts[0])) == 3
    said = [line for line in capfd.readouterr().err.splitlines() if "starting" in line]
    assert said == [
        f"launch: starting all of them again, from the last checkpoint (restart {n} of 5)" for n in range(1, 3)
    ]


@pytest.mark.parametrize(("code", "starts"), [(0, 1), (2, 1), (3, 1), (4, 1), (75, 1), (1, 3), (74, 3)])
def test_restarts_are_counted_and_only_for_what_may_pass(code, starts, command, tmp_path):
    assert launch(command(COUNTS_STARTS + f"sys.exit({code})"), 1, restarts=2) == code
    assert len((tmp_path / "0.starts").read_text().split()) == starts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_reaches_every_process_and_is_no_reason_to_restart(number, command, tmp_path):
    stops = command("signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\nlive(process)\ntime.sleep(100)")
    with launcher(stops, "--processes", "2", "--restarts", "3") as started:
        wait_until(lambda: all((tmp_path / f"{process}.ready").exists() for process in range(2)))
        started.send_signal(number)
        assert started.wait(60) == 1
        assert "starting" not in started.stderr.read()


def test_second_signal_ends_all_at_once(command, tmp_path):
    refuses = command(
        "signal.signal(signal.SIGTERM, lambda *_: open(f'{process}.told', 'w'))\nlive(process)\n"
        "while True: time.sleep(0.1)"
    )
    with launcher(refuses, "--processes", "2") as started:
        wait_until(lambda: all((tmp_path / f"{process}.ready").exists() for process in range(2)))
        started.send_signal(signal.SIGINT)
        wait_until(lambda: all((tmp_path / f"{process}.told").exists() for process in range(2)))
        started.send_signal(signal.SIGINT)
        assert started.wait(60) == 137
        assert not any(lives(tmp_path / f"{process}.lock") for process in range(2))


def test_nobody_outlives_a_launcher_that_is_killed(command, tmp_path):
    with launcher(command("live(process)\ntime.sleep(100)"), "--processes", "2") as started:
        wait_until(lambda: all((tmp_path / f"{process}.ready").exists() for process in range(2)))
        assert all(lives(tmp_path / f"{process}.lock") for process in range(2))
        started.kill()
        wait_until(lambda: not any(lives(tmp_path / f"{process}.lock") for process in range(2)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((["true"], 0), "--processes is 0; accepted: a number of at least 1"),
        ((["true"], 1, 0), "--devices is 0; accepted: a number of at least 1"),
        ((["true"], 1, 1, -1), "--restarts is -1; accepted: a number of at least 0"),
        (([], 2), "there is no command; accepted: python -m gen_jax launch --processes 2 -- COMMAND ..."),
        ((["no-such-command"], 2), "no-such-command cannot be started: No such file or directory"),
    ],
)
def test_wrong_usage_is_refused(arguments, says):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(ConfigError) as error:
        launch(*arguments)
    assert str(error.value) == says
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("-- python x --processes 7 --run_dir a_b -- -q", ("python x --processes 7 --run_dir a_b -- -q", 2, 1, 0)),
        ("--processes 4 --devices 2 --restarts 9 -- x -h", ("x -h", 4, 2, 9)),
        ("", ("", 2, 1, 0)),
    ],
)
def test_flags_of_the_command_are_its_own(line, arguments, monkeypatch):
    asked = []
    monkeypatch.setattr(gen_jax.shell.launch, "launch", lambda *arguments: asked.append(arguments) or 42)
    monkeypatch.setattr(sys, "argv", ["gen_jax", "launch", *line.split()])
    with pytest.raises(SystemExit) as exit:
        gen_jax.__main__.main()
    assert exit.value.code == 42
    assert asked == [(tuple(arguments[0].split()), *arguments[1:])]


@pytest.mark.slow
def test_experiment_split_over_two_processes_trains_to_the_end_and_logs_each_line_once(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.delenv("XLA_FLAGS")
    options = (
        "--run-dir run --preset tiny --steps 4 --log-every 1 --eval-every 2 --save-every 2 --grid-samples 4 --fsdp 2"
    )
    assert launch([sys.executable, "-m", "experiments.vae", *options.split()], 2) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    logged = [(line["step"], line["split"]) for line in lines]
    assert logged == [(1, "train"), (2, "train"), (2, "eval"), (3, "train"), (4, "train"), (4, "eval")]
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == ["00000002.png", "00000004.png"]
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["2", "4"]
    # Process 0 alone speaks, and of both.
    said = capfd.readouterr()
    assert said.out.count("devices  2 cpu") == said.out.count("finished 4 steps") == 1
    assert "launch:" not in said.err
