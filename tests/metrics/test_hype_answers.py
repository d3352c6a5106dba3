import dataclasses
import json

import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.metrics.hype import Staircase, hype_time_interval, wilson
from gen_jax.metrics.hype_answers import session_scores
from gen_jax.metrics.hype_session import Session

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
        "interval": "Wilson, over answers of one evaluator",
    }
    json.dumps(protocol)


def test_of_several_people_the_score_is_their_mean_and_the_interval_theirs():
    rates = [0.1, 0.2, 0.2, 0.3, 0.7]
    people = [session(round(50 * rate), round(50 * rate), f"person {rate} {i}", str(i)) for i, rate in enumerate(rates)]
    score = session_scores(people)[0]
    assert score.value == pytest.approx(0.3)
    assert score.protocol["evaluators"] == 5
    assert score.protocol["answers"] == 500
    assert score.protocol["interval"] == "bootstrap over evaluators"
    # A bootstrap of its own: the means of all ways to draw five of five.
    grid = np.stack(np.meshgrid(*[rates] * 5)).reshape(5, -1).mean(axis=0)
    assert score.interval == pytest.approx(np.quantile(grid, [0.025, 0.975]), abs=0.021)


def test_interval_of_several_people_is_as_wide_as_they_differ_whatever_the_number_of_their_answers():
    alike = [session(10, 10, f"person {i}", str(i)) for i in range(4)]
    assert session_scores(alike)[0].interval == (0.2, 0.2)
    # As many people, who answered three pages each.
    apart = [session(wrong, wrong, f"person {wrong}", str(wrong)) for wrong in (5, 10, 15, 20)]
    thrice = [dataclasses.replace(one, key=f"{one.key} {page}") for one in apart for page in range(3)]
    once, more = session_scores(apart)[0], session_scores(thrice)[0]
    assert (once.value, once.interval) == (more.value, more.interval)
    assert (once.protocol["answers"], more.protocol["answers"]) == (400, 1200)
    assert once.interval[1] - once.interval[0] > 0.1


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


def test_answers_must_be_there_once_and_about_one_state():
    with pytest.raises(ConfigError, match="there are no answers"):
        session_scores([])
    with pytest.raises(ConfigError, match=r"Ada \(session a\) are there twice"):
        session_scores([session(1, 1), session(1, 1)])
    with pytest.raises(ConfigError, match="answers of Grace are about something else: step is 8, not 7"):
        session_scores([session(1, 1), session(1, 1, "Grace", "b", step=8)])
