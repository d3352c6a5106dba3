"""How many steps to dispatch at a time."""

import time
from collections.abc import Callable

import jax

from gen_jax.training.game import PyTree

SECONDS = 1.0
"""What a dispatch is meant to take: long enough that Python is out of the way, and short enough to be stopped soon."""


class Pace:
    """Keeps the device busy and Python at most one dispatch ahead of it.

    Else a request to stop would be heard, and a NaN seen, only after everything that was dispatched long before.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """`clock` tells seconds.

        Attributes:
          steps: the most to dispatch next.
        """
        self.steps = 1
        self._clock = clock
        self._last: tuple[PyTree, int] | None = None
        self._finished: float | None = None

    def dispatched(self, results: PyTree, steps: int) -> None:
        """Waits for the dispatch before this one, and learns from how long it took.

        Args:
          results: arrays that this one gives, which nobody donates.
          steps: how many it takes.
        """
        last, self._last = self._last, (results, steps)
        if last is None:
            return
        jax.block_until_ready(last[0])
        finished, self._finished = self._finished, self._clock()
        if finished is not None:
            # What else happened meanwhile, such as an evaluation, only makes the next ones shorter for a while.
            wanted = SECONDS * last[1] / max(self._finished - finished, 1e-9)
            self.steps = max(1, min(int(wanted), 2 * self.steps))
