import errno
import json
import math
import os
from types import SimpleNamespace

import pytest
from etils import epath
from tensorboardX.proto.event_pb2 import Event, SessionLog

from gen_jax.errors import StorageError
from gen_jax.training.event_log import EventLog
from gen_jax.training.metrics_log import MetricsLog


def lines(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def open_log(tmp_path):
    """Opens the log of a run that continues after a step; all are closed in the end."""
    logs = []

    def open_log(step=0):
        logs.append(MetricsLog(tmp_path, step))
        return logs[-1]

    yield open_log
    for log in logs:
        log.close()


def test_a_new_log_is_empty_and_there(tmp_path, open_log):
    open_log()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_lines_are_written_in_order_when_flushed_and_only_once(tmp_path, open_log):
    log = open_log()
    log.write(1, "train", {"loss": 0.5, "kl": 2.0})
    log.write(1, "eval", {"nll": 3.25})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""
    log.flush()
    log.flush()
    log.write(2, "train", {"loss": 0.25})
    log.flush()
    assert (tmp_path / "metrics.jsonl").read_text() == (
        '{"step": 1, "split": "train", "loss": 0.5, "kl": 2.0}\n'
        '{"step": 1, "split": "eval", "nll": 3.25}\n'
        '{"step": 2, "split": "train", "loss": 0.25}\n'
    )


def test_what_is_not_finite_is_null(tmp_path, open_log):
    log = open_log()
    log.write(3, "train", {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "big": 1e300, "zero": 0.0})
    log.flush()
    found = lines(tmp_path)
    assert found == [{"step": 3, "split": "train", "nan": None, "inf": None, "minus": None, "big": 1e300, "zero": 0.0}]


def test_numbers_of_the_machine_go_to_tensorboard_only(tmp_path, open_log):
    log = open_log()
    log.write(3, "train", {"loss": 0.5}, {"examples_per_second": 1234.5})
    log.close()
    assert lines(tmp_path) == [{"step": 3, "split": "train", "loss": 0.5}]
    assert scalars(tmp_path) == [(3, "train/loss", 0.5), (3, "train/examples_per_second", 1234.5)]


def scalars(directory):
    """(step, tag, value) of all TensorBoard records: 8 bytes of length, 4 of checksum, the event, 4 of checksum."""
    found = []
    for path in sorted(directory.glob("events.*")):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            data = data[12 + length + 4 :]
    return found


def test_a_run_that_continues_drops_what_it_will_write_again(tmp_path, open_log):
    log = open_log()
    for step in (2, 4, 6):
        log.write(step, "train", {"loss": float(step)})
        log.write(step, "eval", {"nll": float(step)})
    log.close()
    log = open_log(step=4)
    assert [(line["step"], line["split"]) for line in lines(tmp_path)] == [
        (2, "train"),
        (2, "eval"),
        (4, "train"),
        (4, "eval"),
    ]
    log.write(6, "train", {"loss": -6.0})
    log.flush()
    assert lines(tmp_path)[3:] == [
        {"step": 4, "split": "eval", "nll": 4.0},
        {"step": 6, "split": "train", "loss": -6.0},
    ]


def test_a_new_run_in_the_directory_of_one_without_a_checkpoint_begins_again(tmp_path, open_log):
    log = open_log()
    log.write(1, "train", {"loss": 1.0})
    log.close()
    open_log(step=0)
    assert lines(tmp_path) == []


@pytest.mark.parametrize("torn", ['{"step": 4, "split": "tr', '{"step": 4, "split": "train", "loss": 4.0}'])
def test_a_last_line_that_a_kill_cut_short_is_dropped(tmp_path, open_log, torn):
    whole = '{"step": 2, "split": "train", "loss": 2.0}\n'
    (tmp_path / "metrics.jsonl").write_text(whole + torn)
    log = open_log(step=4)
    log.write(4, "train", {"loss": 5.0})
    log.flush()
    assert (tmp_path / "metrics.jsonl").read_text() == whole + '{"step": 4, "split": "train", "loss": 5.0}\n'


def test_truncation_leaves_no_other_file(tmp_path, open_log):
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "split": "train"}\n')
    open_log(step=1)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("events.")] == ["metrics.jsonl"]


def test_closing_writes_what_was_not_flushed(tmp_path, open_log):
    log = open_log()
    log.write(1, "eval", {"nll": 1.0})
    log.close()
    assert lines(tmp_path) == [{"step": 1, "split": "eval", "nll": 1.0}]


def test_going_back_drops_later_lines_at_once_and_takes_them_again(tmp_path, open_log):
    log = open_log()
    for step in (2, 4, 6):
        log.write(step, "train", {"loss": float(step)})
        log.write(step, "eval", {"nll": float(step)})
        if step == 4:
            log.flush()
    log.rewind(2)
    kept = [{"step": 2, "split": "train", "loss": 2.0}, {"step": 2, "split": "eval", "nll": 2.0}]
    assert lines(tmp_path) == kept
    log.write(4, "train", {"loss": -4.0})
    log.flush()
    log.rewind(4)
    log.write(6, "train", {"loss": -6.0})
    log.close()
    assert lines(tmp_path) == [
        *kept,
        {"step": 4, "split": "train", "loss": -4.0},
        {"step": 6, "split": "train", "loss": -6.0},
    ]


def test_going_back_to_the_beginning_leaves_an_empty_file(tmp_path, open_log):
    log = open_log()
    log.write(1, "train", {"loss": 1.0})
    log.flush()
    log.rewind(0)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_tensorboard_is_told_where_a_run_went_back_to(tmp_path, open_log, monkeypatch):
    # A second later, since the names of the files count in seconds.
    seconds = iter(range(1_700_000_000, 1_700_000_100))
    monkeypatch.setattr("tensorboardX.event_file_writer.time", SimpleNamespace(time=lambda: next(seconds)))
    log = open_log()
    log.write(4, "train", {"loss": 4.0})
    log.write(6, "train", {"loss": 6.0})
    log.flush()
    log.rewind(4)
    log.write(6, "train", {"loss": -6.0})
    log.flush()
    assert scalars(tmp_path) == [(4, "train/loss", 4.0), (6, "train/loss", 6.0), (6, "train/loss", -6.0)]
    assert voided(tmp_path) == [1, 5]


def voided(directory):
    """From which step on each file of TensorBoard's voids those before it."""
    found = []
    for path in sorted(directory.glob("events.*")):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            found += [event.step] if event.session_log.status == SessionLog.START else []
            data = data[12 + length + 4 :]
    return found


def test_who_leaves_it_to_another_process_touches_nothing(tmp_path):
    content = b'{"step": 1, "split": "train", "loss": 1.0}\n{"step": 2, "spl'
    (tmp_path / "metrics.jsonl").write_bytes(content)
    log = MetricsLog(tmp_path, 1, writes=False)
    log.write(2, "train", {"loss": 2.0})
    log.flush()
    log.rewind(0)
    log.write(1, "train", {"loss": 3.0})
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert (tmp_path / "metrics.jsonl").read_bytes() == content


def test_who_leaves_it_to_another_process_makes_no_directory(tmp_path):
    log = MetricsLog(tmp_path / "run", 0, writes=False)
    log.write(1, "train", {"loss": 1.0})
    log.close()
    assert not (tmp_path / "run").exists()


THREE = [f'{{"step": {step}, "split": "train", "loss": {step}.0}}\n' for step in (1, 2, 3)]


def fails_once(tmp_path, log, after=lambda: None):
    """Line 1 is on disk, the flush of line 2 fails, after which something may be done, and line 3 is flushed again."""
    log.write(2, "train", {"loss": 2.0})
    with pytest.raises(StorageError) as failed:
        log.flush()
    assert str(failed.value).startswith(f"{tmp_path}/metrics.jsonl could not be written: ")
    assert "\n" not in str(failed.value)
    after()
    log.write(3, "train", {"loss": 3.0})
    for _ in range(2):
        log.flush()
        assert (tmp_path / "metrics.jsonl").read_text() == "".join(THREE)
    log.close()
    assert scalars(tmp_path) == [(step, "train/loss", float(step)) for step in (1, 2, 3)]


@pytest.fixture
def one_line(open_log):
    """A log whose first line is on disk."""
    log = open_log()
    log.write(1, "train", {"loss": 1.0})
    log.flush()
    return log


@pytest.mark.parametrize("taken", [0, 1, 20, 10**9], ids=["nothing", "a byte", "half a line", "all"])
def test_a_disk_that_was_full_gets_every_line_once(tmp_path, one_line, monkeypatch, taken):
    path = tmp_path / "metrics.jsonl"
    with monkeypatch.context() as full:

        def takes_some(descriptor):
            os.truncate(path, min(path.stat().st_size, len(THREE[0]) + taken))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(os, "fsync", takes_some)
        fails_once(tmp_path, one_line, full.undo)


def test_a_file_that_is_in_the_way_is_replaced_once_it_is_gone(tmp_path, one_line):
    path = tmp_path / "metrics.jsonl"
    path.unlink()
    path.mkdir()
    fails_once(tmp_path, one_line, path.rmdir)


def test_a_directory_that_became_a_file_is_written_anew_once_it_can_be_made(tmp_path):
    directory = tmp_path / "run"
    log = MetricsLog(directory, 0)
    for step, then in ((1, lambda: directory.rename(tmp_path / "away")), (2, directory.touch)):
        log.write(step, "train", {"loss": float(step)})
        if step == 1:
            log.flush()
        then()
    for _ in range(2):
        with pytest.raises(StorageError, match="could not be written"):
            log.flush()
    directory.unlink()
    log.write(3, "train", {"loss": 3.0})
    log.close()
    assert (directory / "metrics.jsonl").read_text() == "".join(THREE)


def test_a_file_that_was_removed_is_written_anew_with_all_lines(tmp_path, one_line):
    (tmp_path / "metrics.jsonl").unlink()
    for step in (2, 3):
        one_line.write(step, "train", {"loss": float(step)})
    one_line.flush()
    assert (tmp_path / "metrics.jsonl").read_text() == "".join(THREE)


def test_events_that_tensorboard_cannot_have_do_not_double_lines(tmp_path, one_line, monkeypatch):
    with monkeypatch.context() as broken:

        def fails(log):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        broken.setattr(EventLog, "flush", fails)
        fails_once(tmp_path, one_line, broken.undo)


def test_closing_where_nothing_can_be_written_is_silent(tmp_path):
    log = MetricsLog(tmp_path / "run", 0)
    log.write(1, "train", {"loss": 1.0})
    (tmp_path / "run").rename(tmp_path / "away")
    (tmp_path / "run").touch()
    log.close()
    assert (tmp_path / "away" / "metrics.jsonl").read_bytes() == b""


def test_a_kill_while_the_file_is_replaced_leaves_the_old_one(tmp_path, open_log, monkeypatch):
    whole = "".join(THREE)
    (tmp_path / "metrics.jsonl").write_text(whole)
    with monkeypatch.context() as killed:

        def dies(descriptor):
            os.truncate(descriptor, 20)
            raise KeyboardInterrupt

        killed.setattr(os, "fsync", dies)
        with pytest.raises(KeyboardInterrupt):
            MetricsLog(tmp_path, 2)
    assert (tmp_path / "metrics.jsonl").read_text() == whole
    log = open_log(step=2)
    log.flush()
    assert (tmp_path / "metrics.jsonl").read_text() == "".join(THREE[:2])


@pytest.mark.parametrize("what", ["directory", "no permission"])
def test_a_file_that_cannot_be_read_is_a_storage_error(tmp_path, monkeypatch, what):
    path = tmp_path / "metrics.jsonl"
    if what == "directory":
        path.mkdir()
    else:
        path.write_text(THREE[0])

        def forbidden(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(type(epath.Path(tmp_path)), "read_bytes", forbidden)
    with pytest.raises(StorageError) as failed:
        MetricsLog(tmp_path, 0)
    assert str(failed.value).startswith(f"{path} cannot be read: ")


@pytest.mark.parametrize(
    "damage", [b"\0" * 30 + b"\n", b"\xff\xfe\n", b"{}\n", b"7\n"], ids=["zeros", "bytes", "object", "number"]
)
def test_damaged_lines_are_reported_and_left_out(tmp_path, damage):
    # What a loss of power leaves: blocks of zeros, or of somebody else's.
    path, said = tmp_path / "metrics.jsonl", []
    path.write_bytes(THREE[0].encode() + damage + THREE[1].encode() + damage)
    MetricsLog(tmp_path, 2, report=said.append).close()
    assert path.read_text() == "".join(THREE[:2])
    assert said == [f"2 damaged lines of {path} are left out"]
