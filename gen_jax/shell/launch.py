"""Several processes on one machine, to try there what runs on a pod: starts them, watches them, and ends them all.

They find each other through JAX's own distributed runtime, whose collectives on CPU are those of gloo.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from typing import IO, NamedTuple

from gen_jax.errors import ConfigError
from gen_jax.host.launched import PROCESS_ID, PROCESSES

# Configuration, data, numbers, disk, preemption: what ends one process so is about to end the others in the same way.
SHARED = (2, 3, 4, 74, 75)
# After these exit codes another start would not help, or is for the caller to decide.
FINAL = (0, 2, 3, 4, 75)
# How long, in seconds, the others have to end by themselves.
GRACE = 10.0

# Kills what the launcher has started when its end of the pipe is closed, which even SIGKILL does.
GUARD = """
import os, signal, sys
for group in sys.stdin.read().split():
    try:
        os.killpg(int(group), signal.SIGKILL)
    except OSError:
        pass
"""


class Ended(NamedTuple):
    """A process has ended, with an exit code or, if that is negative, by the signal of that number."""

    process: int
    code: int


# What the launcher waits for: that a process ends, or a signal (SIGTERM, SIGINT) to itself.
Events = SimpleQueue[Ended | signal.Signals]


def environment(base: Mapping[str, str], address: str, processes: int, process: int, devices: int) -> dict[str, str]:
    """What one of the processes finds in its environment.

    Args:
      base: the launcher's own environment.
      address: host:port at which process 0 will be found by all.
      processes: how many there are.
      process: which of them it is, from 0.
      devices: how many CPU devices each has.
    """
    return {
        **base,
        PROCESSES: str(processes),
        PROCESS_ID: str(process),
        "JAX_COORDINATOR_ADDRESS": address,
        # JAX's default is to listen to the whole network.
        "JAX_COORDINATOR_BIND_ADDRESS": address,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
    }


def free_address() -> str:
    """An address of this machine, for this machine, at which nobody listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def say(message: str) -> None:
    """A line of the launcher's own."""
    print(f"launch: {message}", file=sys.stderr, flush=True)


def watch(process: int, started: subprocess.Popen[bytes], events: Events) -> None:
    """Waits until a process has ended, and says so."""
    events.put(Ended(process, started.wait()))


class Group:
    """Running processes of one command, each with a process group of its own, which the terminal's Ctrl-C spares.

    Process 0 writes where the launcher does. What the others write is kept, in case it explains how they ended.
    """

    def __init__(self, command: Sequence[str], environments: Sequence[Mapping[str, str]], events: Events):
        self._processes: list[subprocess.Popen[bytes]] = []
        self._outputs: list[IO[bytes] | None] = []
        with ExitStack() as resources:
            guard = resources.enter_context(
                subprocess.Popen([sys.executable, "-ISc", GUARD], stdin=subprocess.PIPE, start_new_session=True)
            )
            assert guard.stdin is not None
            resources.callback(guard.kill)
            for process, env in enumerate(environments):
                output = resources.enter_context(tempfile.TemporaryFile()) if process else None
                started = subprocess.Popen(
                    command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
                self._outputs.append(output)
                self._processes.append(started)
                guard.stdin.write(b"%d\n" % started.pid)
                guard.stdin.flush()
                watcher = threading.Thread(target=watch, args=(process, started, events), daemon=True)
                watcher.start()
                # In reverse: kill, and wait until that is done.
                resources.callback(watcher.join)
                resources.callback(self.kill)
            self._resources = resources.pop_all()

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def terminate(self) -> None:
        """Asks every process to stop."""
        for started in self._processes:
            started.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends every process, and what it has started itself."""
        for started in self._processes:
            # There is no such group any more, or (on macOS) all in it have ended but were not waited for.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(started.pid, signal.SIGKILL)

    def show(self, process: int, lines: int = 40) -> None:
        """Writes to stderr what a process wrote last, if it has not been seen."""
        output = self._outputs[process]
        if output is not None:
            output.seek(0)
            for line in deque(output, lines):
                print(f"[process {process}] {line.decode(errors='replace').rstrip()}", file=sys.stderr, flush=True)


def supervise(group: Group, processes: int, events: Events) -> tuple[int, bool]:
    """Waits until all processes have ended; after a failure of one it sees to it that the others do.

    Returns:
      The exit code of the first that failed (128 + number for a signal), or 0; whether the launcher was asked to stop.
    """
    failure = 0
    asked = False
    deadline = None
    while processes:
        try:
            event = events.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Empty:
            deadline = None
            group.kill()
            continue
        if isinstance(event, signal.Signals):
            # A second signal is from somebody who does not want to wait.
            (group.kill if asked else group.terminate)()
            asked = True
            continue
        processes -= 1
        if event.code and not failure:
            failure, how = event.code, f"exited with {event.code}"
            if (number := -event.code) > 0:
                failure, how = 128 + number, f"was ended by signal {number} ({signal.strsignal(number)})"
            group.show(event.process)
            rest = f"; {'waiting for' if failure in SHARED else 'stopping'} the others" if processes else ""
            say(f"process {event.process} {how}{rest}")
            deadline = time.monotonic() + (GRACE if failure in SHARED else 0.0)
    return failure, asked


def launch(command: Sequence[str], processes: int, devices: int = 1, restarts: int = 0) -> int:
    """Runs a command in several processes. Must be called in the main thread.

    SIGTERM and SIGINT are handed on to all of them as SIGTERM; a second one kills them.

    Args:
      command: a program and its arguments.
      processes: how many of it.
      devices: how many CPU devices each has.
      restarts: how often to start all again after one has crashed, or was killed.

    Returns:
      0 if all have ended with 0, else the exit code of the first that failed: 128 + number for a signal.

    Raises:
      ConfigError: a number is out of range, or there is no such command.
    """
    for flag, value, low in (("--processes", processes, 1), ("--devices", devices, 1), ("--restarts", restarts, 0)):
        if value < low:
            raise ConfigError(f"{flag} is {value}; accepted: a number of at least {low}")
    if not command:
        raise ConfigError("there is no command; accepted: python -m gen_jax launch --processes 2 -- COMMAND ...")
    events = Events()
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = {
        number: signal.signal(number, lambda number, _: events.put(signal.Signals(number))) for number in numbers
    }
    try:
        for left in range(restarts, -1, -1):
            address = free_address()
            environments = [environment(os.environ, address, processes, n, devices) for n in range(processes)]
            try:
                group = Group(command, environments, events)
            except OSError as error:
                raise ConfigError(f"{command[0]} cannot be started: {error.strerror or error}") from error
            with group:
                code, asked = supervise(group, processes, events)
            if asked or code in FINAL or not left:
                break
            say(f"starting all of them again, from the last checkpoint (restart {restarts - left + 1} of {restarts})")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code
