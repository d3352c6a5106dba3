import json
import math

import pytest

from gen_jax.metrics.score import Score, read_scores, store_scores

SCORE = Score("fid", "FID", 3.25, "smaller", 400, {"samples": 10_000, "seed": 0}, (3.0, 3.5), "")


def test_what_is_stored_is_read_again(tmp_path):
    path = tmp_path / "scores.jsonl"
    other = Score("elbo", "ELBO", -94.5, "larger", 400, {"seed": 0}, None, "nats")
    store_scores(path, [SCORE, other])
    assert read_scores(path) == [SCORE, other]


def test_each_line_is_json_without_what_json_does_not_know(tmp_path):
    path = tmp_path / "scores.jsonl"
    store_scores(path, [Score("fid", "FID", math.inf, None, 1)])
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["value"] is None
    assert math.isnan(read_scores(path)[0].value)


def test_the_same_measurement_again_replaces_the_old_one_and_another_protocol_does_not(tmp_path):
    path = tmp_path / "scores.jsonl"
    again = Score(**{**SCORE.as_json(), "value": 4.0, "interval": None})
    seeded = Score(**{**SCORE.as_json(), "protocol": {"samples": 10_000, "seed": 1}, "interval": None})
    later = Score(**{**SCORE.as_json(), "step": 500, "interval": None})
    store_scores(path, [SCORE])
    store_scores(path, [seeded, later])
    store_scores(path, [again])
    assert read_scores(path) == [seeded, later, again]


def test_no_file_has_no_scores_and_damaged_lines_are_left_out(tmp_path):
    path = tmp_path / "scores.jsonl"
    assert read_scores(path) == []
    path.write_text('{"metric": "fid"}\nnot json\n[]\n' + json.dumps(SCORE.as_json()) + "\n{}\n")
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n" + json.dumps({**SCORE.as_json(), "protocol": 3}).encode())
    assert read_scores(path) == [SCORE]


@pytest.mark.parametrize(
    ("field", "value"),
    [("better", "up"), ("step", "4"), ("step", True), ("name", None), ("metric", ["fid"]), ("unit", 3), ("note", "x")],
)
def test_a_line_of_other_content_is_no_score(tmp_path, field, value):
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps({**SCORE.as_json(), field: value}) + "\n")
    assert read_scores(path) == []


@pytest.mark.parametrize(("field", "value", "text"), [("better", "up", "no direction"), ("step", "4", "no score")])
def test_what_is_wrong_with_a_score_is_said(field, value, text):
    # Not by the type checker of the tests, which users do not have.
    with pytest.raises((ValueError, TypeError), match=f"^{text}: "):
        Score.from_json({**SCORE.as_json(), field: value})


def test_what_cannot_be_read_is_left_as_it_is(tmp_path):
    path = tmp_path / "scores.jsonl"
    later = json.dumps({**SCORE.as_json(), "note": "of a later version"})
    path.write_text(later + "\nnot json\n")
    store_scores(path, [SCORE])
    store_scores(path, [SCORE])
    assert path.read_text().splitlines() == [later, "not json", json.dumps(SCORE.as_json())]


def test_an_interval_of_json_becomes_a_pair():
    assert Score.from_json({**SCORE.as_json(), "interval": [1, 2]}).interval == (1, 2)
    with pytest.raises(KeyError):
        Score.from_json({"metric": "fid"})
