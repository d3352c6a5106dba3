import copy
import json

import pytest

from gen_jax.errors import ConfigError
from gen_jax.metrics.hype_session import read_session

STUDY = {
    "run": "vae-digits",
    "step": 7,
    "state": "ab12",
    "weights": "average",
    "sampler": "one pass",
    "sampler_steps": 1,
    "reference": {"data": "digits", "split": "test"},
    "images": 6,
    "seed": 3,
    "staircase": {"start": 500, "low": 100, "high": 1000, "down": 10, "up": 30},
}
REAL = [True, False, False, True, True, False]
SAID_REAL = [True, True, False, True, False, False]
# Wrong are the second and the fifth; a staircase of four images, and one of two.
EXPOSURES = [500, 490, 520, 510, 500, 530]
BLOCKS = [0, 0, 0, 0, 1, 1]


def saved(limited):
    """What a page saves."""
    answers = [
        {
            "image": f"{index:012x}",
            "real": real,
            "said_real": said_real,
            "reaction_ms": 800,
            "exposure_ms": exposure if limited else None,
            "shown_ms": exposure if limited else None,
            "block": block if limited else 0,
        }
        for index, (real, said_real, exposure, block) in enumerate(zip(REAL, SAID_REAL, EXPOSURES, BLOCKS, strict=True))
    ]
    return {
        "format": "gen_jax hype 1",
        "session": "a1",
        "evaluator": " Ada ",
        "mode": "time-limited" if limited else "unlimited",
        "started": "2025-01-01T00:00:00.000Z",
        "study": STUDY,
        "answers": answers,
        "result": [],
    }


@pytest.fixture
def read(tmp_path):
    """Reads a file that holds these bytes, or this as JSON."""

    def read(stored):
        path = tmp_path / "answers.json"
        path.write_bytes(stored if isinstance(stored, bytes) else json.dumps(stored).encode())
        return read_session(path)

    return read


@pytest.mark.parametrize("limited", [False, True], ids=["unlimited", "time-limited"])
def test_file_is_read_as_it_was_saved(read, limited):
    session = read(saved(limited))
    assert (session.key, session.evaluator, session.study) == ("a1", "Ada", STUDY)
    assert (list(session.real), list(session.said_real)) == (REAL, SAID_REAL)
    assert session.blocks == (((500, 490, 520, 510), (500, 530)) if limited else ())
    assert session.mode == saved(limited)["mode"]


def test_without_a_name_the_session_is_the_person(read):
    assert read({**saved(False), "evaluator": "  "}).evaluator == "a1"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"", "it is not JSON ("),
        (json.dumps(saved(False)).encode()[:-20], "it is not JSON ("),
        (b"\x89PNG\r\n", "'utf-8' codec can't decode byte"),
        (b"[" * 100_000, "it is nested too deeply"),
        ([], "it does not say that its format is 'gen_jax hype 1'"),
        ({"step": 3}, "it does not say that its format is 'gen_jax hype 1'"),
        ({**saved(False), "format": "gen_jax hype 9"}, "it does not say that its format is 'gen_jax hype 1'"),
    ],
)
def test_what_is_something_else_is_refused_in_one_line(read, tmp_path, stored, message):
    assert_refused(read, tmp_path, stored, message)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["answers"], None, "it has no 'answers'"),
        (["answers"], 3, "'answers' of it is 3, not a list"),
        (["answers"], {}, "'answers' of it is {}, not a list"),
        (["answers"], [], "it has 0 answers to 6 images"),
        (["answers"], [3] * 6, "answer 1 is 3, not an object"),
        (["answers", 5], None, "it has 5 answers to 6 images"),
        (["answers", 3], "real", "answer 4 is 'real', not an object"),
        (["answers", 2, "said_real"], "yes", "'said_real' of answer 3 is 'yes', not true or false"),
        (["answers", 2, "real"], 1, "'real' of answer 3 is 1, not true or false"),
        (["answers", 2, "real"], None, "answer 3 has no 'real'"),
        (["answers", 0, "real"], False, "2 of its 6 images are real, which should be half"),
        (["answers", 1, "block"], [0], "'block' of answer 2 is [0], not a whole number"),
        (["answers", 1, "exposure_ms"], "490", "'exposure_ms' of answer 2 is '490', not a whole number"),
        (["answers", 1, "exposure_ms"], 500, "the exposures of its block 0 do not follow from its answers"),
        (["answers", 4, "said_real"], True, "the exposures of its block 1 do not follow from its answers"),
        (["mode"], "unlimited", "'exposure_ms' of answer 1 is 500, not null"),
        (["mode"], "fast", "its mode is 'fast', neither unlimited nor time-limited"),
        (["mode"], ["unlimited"], "'mode' of it is ['unlimited'], not a text"),
        (["session"], 12, "'session' of it is 12, not a text"),
        (["evaluator"], 12, "'evaluator' of it is 12, not a text"),
        (["study"], "vae-digits", "'study' of it is 'vae-digits', not an object"),
        (["study", "seed"], None, "its study has no 'seed'"),
        (["study", "step"], "x\ny", "'step' of its study is 'x\\ny', not a whole number"),
        (["study", "step"], True, "'step' of its study is True, not a whole number"),
        (["study", "step"], 7.0, "'step' of its study is 7.0, not a whole number"),
        (["study", "state"], 12, "'state' of its study is 12, not a text"),
        (["study", "run"], {"a": 1}, "'run' of its study is {'a': 1}, not a text"),
        (["study", "reference"], "digits", "'reference' of its study is 'digits', not an object"),
        (["study", "staircase"], 5, "'staircase' of its study is 5, not an object"),
        (["study", "staircase", "up"], None, "its staircase has no 'up'"),
        (["study", "staircase", "up"], "30", "'up' of its staircase is '30', not a whole number"),
        (["study", "staircase", "up"], 20, "the exposures of its block 0 do not follow from its answers"),
    ],
)
def test_damaged_file_is_refused_in_one_line_that_says_where(read, tmp_path, place, value, message):
    stored = copy.deepcopy(saved(True))
    *way, last = place
    parent = stored
    for step in way:
        parent = parent[step]
    if value is None:
        del parent[last]
    else:
        parent[last] = value
    assert_refused(read, tmp_path, stored, message)


def assert_refused(read, tmp_path, stored, message):
    with pytest.raises(ConfigError) as raised:
        read(stored)
    said = str(raised.value)
    assert said.startswith(f"{tmp_path}/answers.json is no file of answers: {message}")
    assert said.endswith("; accepted: a file that a page of HYPE saved")
    assert "\n" not in said


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_session(tmp_path / "none.json")
