import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gen_jax.shell.launch import launch
from gen_jax.training.preemption import Preemption

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def handling():
    """How signals are handled at the moment."""
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    return wakeup, *(signal.getsignal(number) for number in SIGNALS)


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_is_noted_and_stays_so(number):
    with Preemption() as preemption:
        assert not preemption.requested(1)
        os.kill(os.getpid(), number)
        wait_until(lambda: preemption.requested(2))
        assert preemption.requested(3)
    with Preemption() as preemption:
        assert not preemption.requested(4)


def test_other_signals_are_none_of_its_business(monkeypatch):
    arrived = []
    before = signal.signal(signal.SIGUSR1, lambda *_: arrived.append(1))
    try:
        with Preemption() as preemption:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGUSR1)
            assert arrived
            # What was written before this request has been read when this has.
            assert not preemption.requested(1)
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(lambda: preemption.requested(2))
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("error", [None, ValueError])
def test_handlers_are_put_back(error):
    before = handling()
    try:
        with Preemption():
            assert all(inside != outside for inside, outside in zip(handling(), before, strict=True))
            if error:
                raise error
    except ValueError:
        pass
    assert handling() == before


def test_outside_the_main_thread_nothing_is_changed():
    before = handling()
    found = []

    def work():
        with Preemption() as preemption:
            found.extend([handling_there == before[1:], preemption.requested(1)])

    with Preemption():
        pass
    handling_there = handling()[1:]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True, False]
    assert handling() == before


@pytest.mark.parametrize("first", SIGNALS)
def test_ctrl_c_after_a_signal_ends_the_process_even_inside_a_call_that_does_not_return(first):
    # A mutex that is locked twice is never acquired, and no signal interrupts that wait.
    code = """
import ctypes
from gen_jax.training.preemption import Preemption
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
with Preemption() as preemption:
    print("ready", flush=True)
    while not preemption.requested(1):
        pass
    print("noted", flush=True)
    for _ in range(2):
        libc.pthread_mutex_lock(mutex)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(first)
            assert process.stdout.readline() == "noted\n"
            # What supervises processes sends SIGTERM more than once.
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 128 + signal.SIGINT
        finally:
            process.kill()


TRAINS = """
import os, signal, sys
signal.alarm(120)
from gen_jax.training import distributed
distributed.initialize(False)
from gen_jax.training.preemption import Preemption
from jax.experimental.multihost_utils import broadcast_one_to_all
process, begin, number = (int(argument) for argument in (os.environ["GEN_JAX_PROCESS_ID"], *sys.argv[1:]))
with Preemption() as preemption:
    for step in range(begin + 10, 10**6, 10):
        broadcast_one_to_all(step)
        if process == 1 and step == begin + 50:
            os.kill(os.getpid(), number)
        if preemption.requested(step):
            break
assert preemption.requested(step + 1)
with open(f"{process}.txt", "w") as file:
    file.write(str(step))
distributed.leave(75)
sys.exit(75)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("begin", "number"), [(0, signal.SIGINT), (5000, signal.SIGTERM)])
def test_all_processes_stop_after_the_same_step_if_one_is_told_to(begin, number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    assert launch([sys.executable, "-c", TRAINS, str(begin), str(int(number))], 2) == 75
    steps = [int((tmp_path / f"{process}.txt").read_text()) for process in range(2)]
    assert steps[0] == steps[1] >= begin + 50
    assert steps[0] % 10 == 0
