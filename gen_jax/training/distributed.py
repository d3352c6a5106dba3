"""Joining the other processes of a run, and leaving them.

On a pod every process runs the same command with `--distributed`, and JAX finds the others by itself. On one machine
`python -m gen_jax launch` starts the processes and tells them of each other in their environment.
"""

import os
import socket
import sys
import threading
import time

from gen_jax.errors import ConfigError
from gen_jax.host.launched import PROCESS_ID, PROCESSES

# Exits that every process reaches, sooner or later: done (0) and preempted (75).
EXPECTED = (0, 75)


def initialize(distributed: bool) -> None:
    """Joins the other processes; does nothing where there are none, or where it has been done.

    Must come before anything that makes JAX look for its devices.

    Args:
      distributed: whether there is a cluster that JAX can detect (a TPU pod, SLURM, Open MPI, Kubernetes). The
        environment of `python -m gen_jax launch` goes first.

    Raises:
      ConfigError: there is no such cluster, the launched leader cannot be reached, or JAX is already in use. (Where a
        cluster's coordinator cannot be reached, JAX itself ends the process, after five minutes.)
    """
    launched = PROCESSES in os.environ
    if not (launched or distributed):
        return
    import jax

    if jax.distributed.is_initialized():
        return
    try:
        if launched:
            if os.environ[PROCESS_ID] != "0":
                wait_for_leader(os.environ["JAX_COORDINATOR_ADDRESS"])
            jax.distributed.initialize(
                num_processes=int(os.environ[PROCESSES]),
                process_id=int(os.environ[PROCESS_ID]),
                # The launcher may itself have been started on a cluster, whose other machines are not meant.
                cluster_detection_method="deactivate",
                initialization_timeout=60,
                # On one machine there is no network to wait for.
                heartbeat_timeout_seconds=10,
            )
        else:
            jax.distributed.initialize()
    except (KeyError, ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        others = PROCESSES if launched else "--distributed (a TPU pod, SLURM, Open MPI, Kubernetes)"
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{others} is set, but the other processes cannot be joined: {reason}") from error


def joined() -> bool:
    """Whether this is one of several processes."""
    if "jax" not in sys.modules:
        return False
    import jax

    return jax.distributed.is_initialized()


def wait_for_leader(address: str, timeout: float = 60.0) -> None:
    """Until somebody listens at host:port, for which JAX would wait too; but it ends the process if that is in vain.

    Raises:
      OSError: nobody does within `timeout` seconds.
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host, int(port)), timeout).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise OSError(f"{address}: {error.strerror or error}") from error
            time.sleep(0.05)


def is_leader() -> bool:
    """Whether this is the one process that writes what belongs to all of them."""
    if not joined():
        return True
    import jax

    return jax.process_index() == 0


def leave(code: int, patience: float = 10.0) -> None:
    """Waits until all processes leave, and parts from them; the last thing to do before exiting with `code`.

    Whoever exits while others are still at work makes them fail (if it was the leader) or wait for it for minutes.
    After an error, which may have struck this process alone, that wait must not last: this process is then ended
    after `patience` seconds, with `code` and on the spot, so that whoever supervises it can end the others.
    """
    if not joined():
        return
    import jax

    sys.stdout.flush()
    sys.stderr.flush()
    timer = threading.Timer(patience, os._exit, (code,))
    timer.daemon = True
    if code not in EXPECTED:
        timer.start()
    jax.distributed.shutdown()
    timer.cancel()
