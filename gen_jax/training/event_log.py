"""Scalars for TensorBoard, written when they are flushed and not by a thread, so that a full disk is noticed."""

import contextlib
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath


class EventLog:
    """An event file; none is made before there is something to write."""

    def __init__(self, directory: epath.PathLike, step: int):
        """The events of a run that continues after `step` steps; TensorBoard forgets later ones."""
        # It imports PyTorch where that is installed, for what is not used here: seconds, and hundreds of megabytes.
        with hidden("torch"):
            from tensorboardX.proto import event_pb2

        self._directory = epath.Path(directory)
        self._file: Any = None
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
        # That earlier events are void from here on is not worth a file by itself.
        if not any(event.HasField("summary") for event in self._waiting):
            return
        try:
            if self._file is None:
                self._file = new_file(self._directory)
            for event in self._waiting:
                self._file.write(event.SerializeToString())
            self._file.flush()
        except OSError:
            self.close()
            raise
        self._waiting = []

    def close(self) -> None:
        """Lets go of the file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def new_file(directory: epath.Path) -> Any:
    """A file of records that TensorBoard takes for events. Raises OSError."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import RecordWriter

    # TensorBoard reads files in the order of their names. Two of a second must not be one.
    file = RecordWriter(str(directory / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"))
    file.write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
    return file


@contextlib.contextmanager
def hidden(package: str) -> Iterator[None]:
    """As if it were not installed, unless it was imported before."""
    if package in sys.modules:
        yield
        return
    modules: dict[str, Any] = sys.modules
    # To import what is None here raises ModuleNotFoundError.
    modules[package] = None
    try:
        yield
    finally:
        del modules[package]
