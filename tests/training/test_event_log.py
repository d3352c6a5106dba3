import contextlib
import errno
import importlib
import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorboardX.event_file_writer
import tensorboardX.record_writer
from tensorboardX.proto.event_pb2 import Event, SessionLog

from gen_jax.training.event_log import EventLog, hidden


def crc32c(data):
    """Castagnoli's checksum, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    """The checksum as records store it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The events of a file; a last one that is not whole is left out, and what is whole has to be right."""
    data, found = path.read_bytes(), []
    while len(data) >= 12:
        (length,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12]) == (masked(data[:8]),)
        if len(data) < 16 + length:
            break
        body = data[12 : 12 + length]
        assert struct.unpack("<I", data[12 + length : 16 + length]) == (masked(body),)
        found.append(Event.FromString(body))
        data = data[16 + length :]
    return found


def files(directory):
    return sorted(path for path in directory.iterdir() if "tfevents" in path.name)


def shown(directory):
    """(step, tag, value) as TensorBoard shows them: file after file, where a new start voids what it will repeat."""
    found = []
    for path in files(directory):
        events = records(path)
        assert events[0].file_version == "brain.Event:2"
        for event in events:
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                found = [value for value in found if value[0] < event.step]
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return found


@pytest.fixture
def opened(tmp_path):
    """Opens the log of a run that continues after a step; all are closed in the end."""
    logs = []

    def opened(step=0, directory=tmp_path):
        logs.append(EventLog(directory, step))
        return logs[-1]

    yield opened
    for log in logs:
        log.close()


def test_checksum_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283


def test_there_is_no_file_before_there_is_a_value(tmp_path, opened):
    log = opened()
    log.flush()
    log.close()
    assert files(tmp_path) == []


def test_values_are_in_the_file_as_soon_as_they_are_flushed_and_once(tmp_path, opened):
    log = opened()
    log.add(1, {"train/loss": 0.1, "train/kl": -2.5})
    log.add(1, {"eval/nll": np.inf})
    assert files(tmp_path) == []
    log.flush()
    log.flush()
    expected = [(1, "train/loss", float(np.float32(0.1))), (1, "train/kl", -2.5), (1, "eval/nll", np.inf)]
    assert shown(tmp_path) == expected
    log.add(2**31 - 1, {"train/loss": 1e30})
    log.flush()
    assert shown(tmp_path) == [*expected, (2**31 - 1, "train/loss", float(np.float32(1e30)))]
    assert len(files(tmp_path)) == 1


def test_closing_loses_nothing(tmp_path, opened):
    log = opened()
    log.add(1, {"loss": 1.0})
    log.flush()
    log.close()
    assert shown(tmp_path) == [(1, "loss", 1.0)]
    for step in (2, 3):
        log.add(step, {"loss": float(step)})
    log.close()
    log.close()
    log.flush()
    assert shown(tmp_path) == [(1, "loss", 1.0), (2, "loss", 2.0), (3, "loss", 3.0)]
    assert len(files(tmp_path)) == 2


def test_a_run_that_continues_voids_what_it_repeats_and_nothing_else(tmp_path, opened):
    before = opened()
    for step in (2, 4, 5, 6):
        before.add(step, {"loss": float(step)})
    before.flush()
    # It was killed here, and continues after step 4.
    after = opened(step=4)
    after.flush()
    assert [step for step, *_ in shown(tmp_path)] == [2, 4, 5, 6]
    after.add(5, {"loss": -5.0})
    after.flush()
    assert shown(tmp_path) == [(2, "loss", 2.0), (4, "loss", 4.0), (5, "loss", -5.0)]


def test_a_last_event_that_a_kill_cut_short_hides_no_other(tmp_path, opened):
    log = opened()
    for step in (1, 2):
        log.add(step, {"loss": float(step)})
    log.flush()
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    assert shown(tmp_path) == [(1, "loss", 1.0)]
    again = opened(step=1)
    again.add(2, {"loss": 2.0})
    again.flush()
    assert shown(tmp_path) == [(1, "loss", 1.0), (2, "loss", 2.0)]


def test_a_directory_that_vanished_is_an_oserror_and_nothing_is_lost_once_it_is_back(tmp_path, opened):
    directory = tmp_path / "run"
    log = opened(directory=directory)
    log.add(2, {"loss": 2.0})
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            log.flush()
    log.add(3, {"loss": 3.0})
    directory.mkdir()
    log.flush()
    log.flush()
    assert shown(directory) == [(2, "loss", 2.0), (3, "loss", 3.0)]


@pytest.fixture
def disk(monkeypatch):
    """A disk that is full as long as `disk.full`; `disk.handles` are the files that were opened meanwhile."""
    disk, really = SimpleNamespace(full=False, handles=[]), tensorboardX.record_writer.open_file

    class Full(io.FileIO):
        def write(self, data):
            if disk.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    def open_file(path):
        really(path).close()
        disk.handles.append(io.BufferedWriter(Full(path, "wb")))
        return disk.handles[-1]

    monkeypatch.setattr(tensorboardX.record_writer, "open_file", open_file)
    yield disk
    for handle in disk.handles:
        with contextlib.suppress(OSError):
            handle.close()


def test_a_full_disk_is_an_oserror_and_nothing_is_lost_once_there_is_room(tmp_path, disk, opened):
    log = opened()
    disk.full = True
    for step in (1, 2):
        log.add(step, {"loss": float(step)})
        with pytest.raises(OSError, match="No space left"):
            log.flush()
    disk.full = False
    log.flush()
    log.add(3, {"loss": 3.0})
    log.flush()
    values = [
        (event.step, value.simple_value) for event in records(files(tmp_path)[-1]) for value in event.summary.value
    ]
    assert values == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_closing_on_a_full_disk_is_silent(disk, opened):
    log = opened()
    disk.full = True
    log.add(1, {"loss": 1.0})
    with pytest.raises(OSError, match="No space left"):
        log.flush()
    log.close()


def test_a_file_that_fails_after_some_values_is_left_for_a_new_one(tmp_path, disk, opened):
    log = opened()
    log.add(1, {"loss": 1.0})
    log.flush()
    disk.full = True
    for step in (2, 3):
        log.add(step, {"loss": float(step)})
    with pytest.raises(OSError, match="No space left"):
        log.flush()
    disk.full = False
    log.flush()
    assert len(files(tmp_path)) == 2
    assert shown(tmp_path) == [(1, "loss", 1.0), (2, "loss", 2.0), (3, "loss", 3.0)]


def test_a_single_value_that_waits_after_a_failure_is_written(tmp_path, disk, opened):
    log = opened()
    log.add(1, {"loss": 1.0})
    log.flush()
    disk.full = True
    log.add(2, {"loss": 2.0})
    with pytest.raises(OSError, match="No space left"):
        log.flush()
    disk.full = False
    log.flush()
    assert shown(tmp_path) == [(1, "loss", 1.0), (2, "loss", 2.0)]


def test_no_file_stays_open_after_a_failure(tmp_path, disk, opened):
    log = opened()
    disk.full = True
    log.add(1, {"loss": 1.0})
    with pytest.raises(OSError, match="No space left"):
        log.flush()
    assert [handle.closed for handle in disk.handles] == [True]


def test_files_made_within_the_same_second_leave_each_other_alone(tmp_path, opened):
    for step in range(1, 6):
        log = opened(step=step - 1)
        log.add(step, {"loss": float(step)})
        log.flush()
        log.close()
    assert shown(tmp_path) == [(step, "loss", float(step)) for step in range(1, 6)]


def test_pytorch_is_not_imported(tmp_path):
    (tmp_path / "torch.py").write_text("raise AssertionError('PyTorch was imported')\n")
    code = (
        "from gen_jax.training.event_log import EventLog; EventLog('.', 0).add(1, {'loss': 2.0})\n"
        "try: import torch\n"
        "except AssertionError as error: print(error, 'afterwards')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("PyTorch was imported afterwards\n", "")


def test_what_was_imported_is_not_hidden():
    with hidden("struct"):
        import struct as found
    assert found is struct
    with hidden("no_such_package"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_package")
    assert "no_such_package" not in sys.modules
