"""How a command line ends: on an error, and on a signal that comes outside of training."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from rich.console import Console

from gen_jax.errors import GenJaxError, Preempted


def exit_with(error: GenJaxError) -> NoReturn:
    """Parts from other processes and ends the program, with the error's one line and exit code."""
    from gen_jax.training import distributed

    Console(stderr=True).print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    distributed.leave(error.exit_code)
    sys.exit(error.exit_code)


@contextlib.contextmanager
def nothing_to_save() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the program as if it had been preempted, until training listens to them itself."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Preempted("preempted outside of training; the same command starts or continues it")

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        # Python drops what is raised while it frees objects, in finalizers and callbacks of the garbage collector; so
        # the signal comes once more, when that is over.
        if isinstance(what.exc_value, Preempted):
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            ignored_before(what)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    from gen_jax.training.distributed import joined

    # A program that has joined other processes by itself leaves SIGTERM to JAX.
    numbers = (signal.SIGINT,) if joined() else (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, stop) for number in numbers}
    ignored_before, sys.unraisablehook = sys.unraisablehook, ignored
    try:
        yield
    finally:
        sys.unraisablehook = ignored_before
        for number, handler in handlers.items():
            signal.signal(number, handler)
