"""Scalars for TensorBoard, written when they are flushed and not by a thread, so that a full disk is noticed."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from etils import epath


class EventLog:
    """An event file; none is made before there is something to write."""

    def __init__(self, directory: epath.PathLike, step: int):
        """The events of a run that continues after `step` steps; TensorBoard forgets later ones."""
        from tensorboardX.proto import event_pb2

        self._directory = epath.Path(directory)
        self._writer: Any = None
        restarted = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._waiting = [event_pb2.Event(wall_time=time.time(), step=step + 1, session_log=restarted)]

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Values of `step`, by name."""
        from tensorboardX.proto import event_pb2, summary_pb2

        values = [summary_pb2.Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        event = event_pb2.Event(wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=values))
        self._waiting.append(event)

    def flush(self) -> None:
        """Writes what is waiting. Raises OSError, and then begins a new file the next time."""
        # The first event says from where on earlier files are void; by itself it is not worth a file.
        if self._writer is None and len(self._waiting) < 2:
            return
        from tensorboardX.event_file_writer import EventsWriter

        try:
            if self._writer is None:
                self._writer = EventsWriter(str(self._directory / "events"))
            for event in self._waiting:
                self._writer.write_event(event)
            self._writer.flush()
        except OSError:
            self.close()
            raise
        self._waiting = []

    def close(self) -> None:
        """Lets go of the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
