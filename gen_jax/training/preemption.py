"""Being told to stop: finish the step, save, and exit in a way that says "run me again"."""

import os
import signal
import socket
import threading
from types import TracebackType
from typing import Any

import jax
from jax.experimental import multihost_utils


class Preemption:
    """Notes SIGTERM and SIGINT (Ctrl-C) for as long as it is entered, instead of dying of them.

    The first signal is a request, and SIGINT after it ends the process at once; further SIGTERMs do nothing, for what
    supervises processes likes to send several. A thread reads the signals: unlike a handler it does so even while the
    main thread is inside XLA, in a compilation for instance.

    With several processes all must stop after the same step. JAX's preemption service sees to that: it catches SIGTERM
    from `jax.distributed.initialize` on, tells everyone, and agrees on a step that nobody has passed. SIGINT is
    handed to it as SIGTERM.

    Outside the main thread, where Python allows no handlers, signals keep the meaning they have.
    """

    def __init__(self) -> None:
        self._several = jax.process_count() > 1
        self._signals = (signal.SIGINT,) if self._several else (signal.SIGINT, signal.SIGTERM)
        self._handlers: dict[signal.Signals, Any] = {}
        self._noted = False
        self._reached = False
        self._asked = 0

    def __enter__(self) -> "Preemption":
        if threading.current_thread() is threading.main_thread():
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
            # Python passes on only signals that it handles.
            self._handlers = {number: signal.signal(number, lambda *_: None) for number in self._signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._handlers:
            return
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._handlers = {}
        signal.set_wakeup_fd(self._wakeup)
        self._writer.close()
        self._watcher.join()
        self._reader.close()

    def _watch(self) -> None:
        while number := self._reader.recv(1):
            if number[0] not in self._signals:
                continue
            if self._noted and number[0] == signal.SIGINT:
                os._exit(128 + number[0])
            self._noted = True
            if self._several:
                os.kill(os.getpid(), signal.SIGTERM)

    def requested(self, step: int) -> bool:
        """Whether to stop after `step`. In every process of a run the same, if all ask about the same steps."""
        if not self._several:
            return self._noted
        # The service answers True for a single number, one more than the largest it had been asked about by anyone
        # when the request came. So no number may be left out, those before a restored step included.
        steps, self._asked = range(self._asked + 1, step + 1), step
        self._reached = self._reached or any(map(multihost_utils.reached_preemption_sync_point, steps))
        return self._reached
