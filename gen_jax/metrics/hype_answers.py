"""From what people answered on HYPE's pages to scores of a run. The statistics of one person are in `hype.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gen_jax.errors import ConfigError
from gen_jax.metrics.hype import RESAMPLES, Interval, hype_time, hype_time_interval, wilson
from gen_jax.metrics.hype_session import Session
from gen_jax.metrics.intervals import bootstrap_interval
from gen_jax.metrics.score import Score

Estimate = Callable[[Sequence[Session]], tuple[float, Interval]]
"""A number about the sessions of one person, with its interval."""


def errors_on(*kinds: bool) -> Estimate:
    """The share of wrong answers (section 2.2) about images of these kinds (True: real), with Wilson's interval."""

    def estimate(sessions: Sequence[Session]) -> tuple[float, Interval]:
        pairs = [pair for session in sessions for pair in zip(session.real, session.said_real, strict=True)]
        wrong = [real != said_real for real, said_real in pairs if real in kinds]
        return sum(wrong) / len(wrong), wilson(sum(wrong), len(wrong))

    return estimate


def threshold(sessions: Sequence[Session]) -> tuple[float, Interval]:
    """HYPE-time in milliseconds (section 2.1), with its interval by a bootstrap over answers."""
    blocks = [block for session in sessions for block in session.blocks]
    return hype_time(blocks), hype_time_interval(blocks)


@dataclass(frozen=True)
class Measure:
    """What is measured in one mode of the page.

    Attributes:
      metric, name, unit, better: of the `Score`.
      mode: whether images were shown for a limited time.
      estimate: the number for one person.
      interval: what the interval is for one person.
    """

    metric: str
    name: str
    unit: str
    mode: Literal["unlimited", "time-limited"]
    estimate: Estimate
    interval: str
    better: Literal["larger"] | None = "larger"


SHARE = "Wilson, over answers of one evaluator"
RUNS = "bootstrap over runs of answers of one evaluator"

# People err more on real images, too, the better the generated ones are (table 2), but that is not what is wanted.
MEASURES = (
    Measure("hype_infinity", "HYPE-infinity", "share", "unlimited", errors_on(False, True), SHARE),
    Measure("hype_infinity_fakes", "HYPE-infinity, generated images", "share", "unlimited", errors_on(False), SHARE),
    Measure("hype_infinity_reals", "HYPE-infinity, real images", "share", "unlimited", errors_on(True), SHARE, None),
    Measure("hype_time", "HYPE-time", "ms", "time-limited", threshold, RUNS),
)


def session_scores(sessions: Sequence[Session]) -> list[Score]:
    """The scores of a run: HYPE-infinity and its parts on generated and real images, HYPE-time; of what there is.

    A score is the mean over people, each of whom counts alike, whatever the number of their answers. Sessions of one
    name are one person's. The interval is the paper's where there are several people: a bootstrap over them (section
    3; the paper asks 30, and of a few it is too narrow). Of one person's answers the paper has none; theirs is this
    project's own, over answers, and says nothing about other people.

    Raises:
      ConfigError: there are no sessions, one is there twice, or they are not about the same state of a run.
    """
    if not sessions:
        raise ConfigError("there are no answers; accepted: one or more files that a page of HYPE saved")
    judged = _judged(sessions[0])
    for number, session in enumerate(sessions):
        if session.key in {other.key for other in sessions[:number]}:
            raise ConfigError(f"the answers of {session.evaluator} (session {session.key}) are there twice")
        for name, value in _judged(session).items():
            if value != judged.get(name):
                raise ConfigError(
                    f"the answers of {session.evaluator} are about something else: {name} is {value}, "
                    f"not {judged.get(name)}; accepted: answers about one state of one run"
                )
    scores = []
    for measure in MEASURES:
        chosen = [session for session in sessions if session.mode == measure.mode]
        if chosen:
            scores.append(_score(measure, chosen))
    return scores


def _judged(session: Session) -> dict[str, Any]:
    """What sessions must have in common to be counted together; other seeds only mean other images."""
    return {name: value for name, value in session.study.items() if name != "seed"}


def _score(measure: Measure, sessions: Sequence[Session]) -> Score:
    people: dict[str, list[Session]] = {}
    for session in sessions:
        people.setdefault(session.evaluator, []).append(session)
    found = [measure.estimate(person) for person in people.values()]
    if len(found) == 1:
        (value, (low, high)), method = found[0], measure.interval
    else:
        value, low, high, _ = bootstrap_interval([value for value, _ in found], resamples=RESAMPLES)
        method = "bootstrap over evaluators"
    answers = sum(len(session.real) for session in sessions)
    return Score(
        metric=measure.metric,
        name=f"{measure.name} ({len(people)} {'evaluators' if len(people) > 1 else 'evaluator'}, {answers} answers)",
        value=value,
        better=measure.better,
        step=sessions[0].study["step"],
        protocol={
            **_judged(sessions[0]),
            "seed": sorted({session.study["seed"] for session in sessions}),
            "mode": measure.mode,
            "evaluators": len(people),
            "answers": answers,
            "interval": method,
        },
        interval=(low, high),
        unit=measure.unit,
    )
