import json
import math

import pytest
from tensorboardX.proto.event_pb2 import Event

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
