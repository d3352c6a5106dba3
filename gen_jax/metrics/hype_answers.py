"""From what people answered on HYPE's pages to scores of a run. The statistics are in `hype.py`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from etils import epath

from gen_jax.errors import ConfigError
from gen_jax.metrics.hype import RESAMPLES, Interval, Staircase, hype_time, hype_time_interval, wilson
from gen_jax.metrics.intervals import bootstrap_interval
from gen_jax.metrics.score import Score

FORMAT = "gen_jax hype 1"


@dataclass(frozen=True)
class Session:
    """What one person answered on one page.

    Attributes:
      key: tells it from every other session.
      evaluator: who answered; the key, where they gave no name.
      study: what was judged, as JSON: run, step, seed, images, data, ….
      real: whether each image is real, in the order in which they were shown.
      said_real: the answers.
      blocks: the exposures in milliseconds, a list for each staircase; none where time was not limited.
    """

    key: str
    evaluator: str
    study: dict[str, Any]
    real: tuple[bool, ...]
    said_real: tuple[bool, ...]
    blocks: tuple[tuple[int, ...], ...] = ()

    @property
    def mode(self) -> str:
        """Whether images were shown for a limited time."""
        return "time-limited" if self.blocks else "unlimited"


def read_session(path: epath.PathLike) -> Session:
    """The answers that a page saved to a file.

    Raises:
      ConfigError: it cannot be read, is something else, is damaged, or was changed.
    """
    try:
        stored = json.loads(epath.Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} holds no answers: it is not JSON ({error})") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ConfigError(f"{path} holds no answers; accepted: a file that a page of HYPE saved")
    try:
        return _session(stored)
    except KeyError as error:
        raise ConfigError(f"{path} is damaged: it has no {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from error


def _session(stored: dict[str, Any]) -> Session:
    """Raises KeyError, TypeError, ValueError or AttributeError for what no page saves."""
    answers, study = stored["answers"], stored["study"]
    real, said_real = (tuple(answer[name] for answer in answers) for name in ("real", "said_real"))
    if not all(isinstance(answer, bool) for answer in real + said_real):
        raise ValueError("an answer that is neither true nor false")
    for name in ("step", "seed", "images"):
        if not isinstance(study[name], int):
            raise ValueError(f"{name} is {study[name]!r}")
    if not answers or len(answers) != study["images"]:
        raise ValueError(f"{len(answers)} answers to {study['images']} images")
    if sum(real) * 2 != len(real):
        raise ValueError(f"{sum(real)} of {len(real)} images are real, which should be half")
    blocks: dict[int, list[dict[str, Any]]] = {}
    if any(answer["exposure_ms"] is not None for answer in answers):
        for answer in answers:
            blocks.setdefault(answer["block"], []).append(answer)
    staircase = Staircase(**study["staircase"])
    for number, block in blocks.items():
        wanted = staircase.exposures([answer["real"] == answer["said_real"] for answer in block])
        if [answer["exposure_ms"] for answer in block] != wanted:
            raise ValueError(f"the exposures of block {number} do not follow from its answers")
    return Session(
        key=str(stored["session"]),
        evaluator=stored["evaluator"].strip() or str(stored["session"]),
        study=study,
        real=real,
        said_real=said_real,
        blocks=tuple(tuple(answer["exposure_ms"] for answer in block) for block in blocks.values()),
    )


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
      interval: what their interval is.
    """

    metric: str
    name: str
    unit: str
    mode: Literal["unlimited", "time-limited"]
    estimate: Estimate
    interval: str
    better: Literal["larger"] | None = "larger"


# People err more on real images, too, the better the generated ones are (table 2), but that is not what is wanted.
MEASURES = (
    Measure("hype_infinity", "HYPE-infinity", "share", "unlimited", errors_on(False, True), "Wilson"),
    Measure("hype_infinity_fakes", "HYPE-infinity, generated images", "share", "unlimited", errors_on(False), "Wilson"),
    Measure("hype_infinity_reals", "HYPE-infinity, real images", "share", "unlimited", errors_on(True), "Wilson", None),
    Measure("hype_time", "HYPE-time", "ms", "time-limited", threshold, "bootstrap over runs of answers"),
)


def session_scores(sessions: Sequence[Session]) -> list[Score]:
    """The scores of a run: HYPE-infinity and its parts on generated and real images, HYPE-time; of what there is.

    A score is the mean over people, each of whom counts alike. Its interval is theirs where there is one, and a
    bootstrap's over people where there are several (section 3; the paper asks 30, and of a few it is too narrow).

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
