import dataclasses
import json

import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.metrics.hype import Staircase, hype_time_interval, wilson
from gen_jax.metrics.hype_answers import Session, read_session, session_scores

STUDY = {
    "run": "vae-digits",
    "step": 7,
    "state": "ab12",
    "images": 100,
    "seed": 3,
    "staircase": dataclasses.asdict(Staircase()),
}
REAL = (True, False) * 50


def session(wrong_fakes, wrong_reals, evaluator="Ada", key="a", **study):
    """Of 50 generated and 50 real images, so many were taken for what they are not."""
    wrong = {True: [True] * wrong_reals + [False] * (50 - wrong_reals)}
    wrong[False] = [True] * wrong_fakes + [False] * (50 - wrong_fakes)
    said_real = tuple(real != wrong[real].pop() for real in REAL)
    return Session(key, evaluator, STUDY | study, REAL, said_real)


def limited(threshold, evaluator="Ada", key="a", blocks=2):
    """Someone who is right from an exposure on."""
    shown = [500]
    while len(shown) < 100 // blocks:
        shown.append(Staircase().next(shown[-1], shown[-1] >= threshold))
    said_real = tuple(
        real == (exposure >= threshold) for real, exposure in zip(REAL, tuple(shown) * blocks, strict=True)
    )
    return Session(key, evaluator, STUDY, REAL, said_real, (tuple(shown),) * blocks)


def as_file(session):
    """As the page saves it."""
    exposures = [(number, exposure) for number, block in enumerate(session.blocks) for exposure in block]
    answers = [
        {
            "image": f"{index:012x}",
            "real": real,
            "said_real": said_real,
            "reaction_ms": 800,
            "exposure_ms": exposures[index][1] if exposures else None,
            "shown_ms": None,
            "block": exposures[index][0] if exposures else 0,
        }
        for index, (real, said_real) in enumerate(zip(session.real, session.said_real, strict=True))
    ]
    return {
        "format": "gen_jax hype 1",
        "session": session.key,
        "evaluator": session.evaluator,
        "mode": session.mode,
        "study": session.study,
        "answers": answers,
    }


@pytest.fixture
def save(tmp_path):
    def save(stored, name="answers.json"):
        path = tmp_path / name
        path.write_text(stored if isinstance(stored, str) else json.dumps(stored))
        return path

    return save


def test_error_rates_of_one_person_with_wilsons_intervals():
    scores = session_scores([session(wrong_fakes=20, wrong_reals=5)])
    assert {score.metric: score.value for score in scores} == {
        "hype_infinity": 0.25,
        "hype_infinity_fakes": 0.4,
        "hype_infinity_reals": 0.1,
    }
    assert [score.interval for score in scores] == [wilson(25, 100), wilson(20, 50), wilson(5, 50)]
    assert [score.better for score in scores] == ["larger", "larger", None]
    assert {(score.unit, score.step) for score in scores} == {("share", 7)}
    assert scores[0].name == "HYPE-infinity (1 evaluator, 100 answers)"


def test_score_carries_its_protocol():
    protocol = session_scores([session(0, 0)])[0].protocol
    assert protocol == {
        **STUDY,
        "seed": [3],
        "mode": "unlimited",
        "evaluators": 1,
        "answers": 100,
        "interval": "Wilson",
    }
    json.dumps(protocol)


def test_of_several_people_the_score_is_their_mean_and_the_interval_theirs():
    rates = [0.1, 0.2, 0.2, 0.3, 0.7]
    people = [session(round(50 * rate), round(50 * rate), f"person {rate} {i}", str(i)) for i, rate in enumerate(rates)]
    score = session_scores(people)[0]
    assert score.value == pytest.approx(0.3)
    assert score.protocol["evaluators"] == 5
    assert score.protocol["answers"] == 500
    # A bootstrap of its own: the means of all ways to draw five of five.
    grid = np.stack(np.meshgrid(*[rates] * 5)).reshape(5, -1).mean(axis=0)
    assert score.interval == pytest.approx(np.quantile(grid, [0.025, 0.975]), abs=0.021)


def test_sessions_of_one_person_count_as_one_person_whose_answers_are_put_together():
    first, second = session(10, 0, seed=0), session(30, 0, key="b", seed=1)
    score = session_scores([first, second])[0]
    assert (score.value, score.interval) == (0.2, wilson(40, 200))
    assert score.protocol["evaluators"] == 1
    assert score.protocol["seed"] == [0, 1]
    other = session(50, 50, evaluator="Grace", key="c")
    assert session_scores([first, second, other])[0].value == pytest.approx((0.2 + 1) / 2)


def test_hype_time_of_one_person_and_of_two():
    ada, grace = limited(400), limited(450, "Grace", "b")
    (score,) = session_scores([ada])
    assert score.metric == "hype_time"
    assert score.unit == "ms"
    assert 390 <= score.value <= 430
    assert score.interval == hype_time_interval(ada.blocks)
    assert score.protocol["mode"] == "time-limited"
    (both,) = session_scores([ada, grace])
    assert both.value == pytest.approx((score.value + session_scores([grace])[0].value) / 2)


def test_both_modes_are_scored_apart():
    found = session_scores([session(5, 5), limited(300, key="b")])
    assert [score.metric for score in found] == [
        "hype_infinity",
        "hype_infinity_fakes",
        "hype_infinity_reals",
        "hype_time",
    ]
    assert {score.protocol["answers"] for score in found} == {100}


@pytest.mark.parametrize("answered", [session(20, 5), limited(300)], ids=["unlimited", "time-limited"])
def test_file_is_read_as_it_was_saved(answered, save):
    assert read_session(save(as_file(answered))) == answered


def test_without_a_name_each_session_is_a_person(save):
    nameless = [as_file(session(wrong, wrong, "", key)) for wrong, key in ((0, "a"), (50, "b"))]
    read = [read_session(save(stored, f"{i}.json")) for i, stored in enumerate(nameless)]
    score = session_scores(read)[0]
    assert score.value == 0.5
    assert score.protocol["evaluators"] == 2


def changed(answered, change):
    stored = json.loads(json.dumps(as_file(answered)))
    change(stored)
    return stored


def set_exposure(stored):
    stored["answers"][10]["exposure_ms"] = 990


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("", "holds no answers: it is not JSON"),
        ("[]", "holds no answers; accepted: a file that a page of HYPE saved"),
        ('{"step": 3}', "holds no answers; accepted"),
        (changed(session(1, 1), lambda s: s.pop("answers")), "is damaged: it has no 'answers'"),
        (changed(session(1, 1), lambda s: s["study"].pop("seed")), "is damaged: it has no 'seed'"),
        (changed(session(1, 1), lambda s: s["study"].update(step="x")), "is damaged: step is 'x'"),
        (changed(session(1, 1), lambda s: s["answers"].pop()), "is damaged: 99 answers to 100 images"),
        (changed(session(1, 1), lambda s: s.update(answers=[3])), "is damaged: "),
        (changed(session(1, 1), lambda s: s["answers"][0].update(said_real="yes")), "neither true nor false"),
        (changed(session(1, 1), lambda s: s["answers"][0].update(real=False)), "49 of 100 images are real"),
        (changed(session(1, 1), set_exposure), "the exposures of block 0 do not follow"),
        (changed(limited(300), set_exposure), "the exposures of block 0 do not follow from its answers"),
        (changed(limited(300), lambda s: s["study"]["staircase"].update(up=20)), "do not follow from its answers"),
    ],
)
def test_what_is_no_file_of_answers_is_refused_in_one_line(stored, message, save):
    path = save(stored)
    with pytest.raises(ConfigError) as raised:
        read_session(path)
    assert str(raised.value).startswith(f"{path} ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_session(tmp_path / "none.json")


def test_answers_must_be_there_once_and_about_one_state():
    with pytest.raises(ConfigError, match="there are no answers"):
        session_scores([])
    with pytest.raises(ConfigError, match=r"Ada \(session a\) are there twice"):
        session_scores([session(1, 1), session(1, 1)])
    with pytest.raises(ConfigError, match="answers of Grace are about something else: step is 8, not 7"):
        session_scores([session(1, 1), session(1, 1, "Grace", "b", step=8)])
