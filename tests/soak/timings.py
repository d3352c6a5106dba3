"""How long a run takes when nobody touches it."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import runs
from runs import Running, Watch


@dataclass(frozen=True)
class Timings:
    """Seconds to the first step, in all, and of one save (median)."""

    startup: float
    total: float
    save: float

    def moment(self, draw: float, done: float) -> float:
        """A moment in a run of which a share is done already: from 0 to 1 for `draw`, all of what is left to do."""
        return draw * (self.startup + (1 - done) * (self.total - self.startup))


def timed(running: Running, watch: Watch, stop: threading.Event) -> Timings:
    """Lets a run come to its end. Raises Failure if it hangs or fails, or if the soak is stopped."""
    first, saving, lengths = None, None, []
    while runs.going(running, stop):
        now = running.seconds
        if first is None and running.last_step() is not None:
            first = now
        if watch.present():
            saving = saving or now
        elif saving is not None:
            lengths.append(now - saving)
            saving = None
        time.sleep(0.005)
    total = running.seconds
    runs.expect(running, 0)
    return Timings(first or total, total, float(np.median(lengths)) if lengths else 0.05)
