"""What one person answered on a page of HYPE, and the file in which the page saved it."""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from etils import epath

from gen_jax.errors import ConfigError
from gen_jax.metrics.hype import Staircase

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
        return _session(json.loads(epath.Path(path).read_text()))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise _no_answers(path, f"it is not JSON ({error})") from error
    except RecursionError as error:
        raise _no_answers(path, "it is nested too deeply") from error
    # Bytes that are no text raise it, too.
    except ValueError as error:
        raise _no_answers(path, str(error)) from error


def _no_answers(path: epath.PathLike, why: str) -> ConfigError:
    return ConfigError(f"{path} is no file of answers: {why}; accepted: a file that a page of HYPE saved")


# What a page saves, as far as it is read: names and their types.
FILE = {"session": str, "evaluator": str, "mode": str, "study": dict, "answers": list}
STUDY = {
    **dict.fromkeys(("run", "state", "weights", "sampler"), str),
    **dict.fromkeys(("step", "sampler_steps", "images", "seed"), int),
    **dict.fromkeys(("reference", "staircase"), dict),
}
STAIRCASE = {field.name: int for field in fields(Staircase)}
ANSWER = {"real": bool, "said_real": bool, "block": int}
# What an exposure is, by mode.
EXPOSURE = {"unlimited": type(None), "time-limited": int}
WORDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    type(None): "null",
}


def _check(stored: Any, what: str, wanted: Mapping[str, type]) -> None:
    """Raises ValueError, which says what is wrong, unless what is stored is an object with such fields."""
    if type(stored) is not dict:
        raise ValueError(f"{what} is {reprlib.repr(stored)}, not an object")
    for name, kind in wanted.items():
        if name not in stored:
            raise ValueError(f"{what} has no {name!r}")
        # Not `isinstance`, to which true is a whole number.
        if type(stored[name]) is not kind:
            raise ValueError(f"{name!r} of {what} is {reprlib.repr(stored[name])}, not {WORDS[kind]}")


def _session(stored: Any) -> Session:
    """Raises ValueError for what no page saves."""
    if type(stored) is not dict or stored.get("format") != FORMAT:
        raise ValueError(f"it does not say that its format is {FORMAT!r}")
    _check(stored, "it", FILE)
    answers, study, mode = stored["answers"], stored["study"], stored["mode"]
    _check(study, "its study", STUDY)
    _check(study["staircase"], "its staircase", STAIRCASE)
    if mode not in EXPOSURE:
        raise ValueError(f"its mode is {reprlib.repr(mode)}, neither {' nor '.join(EXPOSURE)}")
    for number, answer in enumerate(answers, 1):
        _check(answer, f"answer {number}", {**ANSWER, "exposure_ms": EXPOSURE[mode]})
    if not answers or len(answers) != study["images"]:
        raise ValueError(f"it has {len(answers)} answers to {study['images']} images")
    real, said_real = (tuple(answer[name] for answer in answers) for name in ("real", "said_real"))
    if sum(real) * 2 != len(real):
        raise ValueError(f"{sum(real)} of its {len(real)} images are real, which should be half")
    blocks: dict[int, list[dict[str, Any]]] = {}
    for answer in answers if mode == "time-limited" else ():
        blocks.setdefault(answer["block"], []).append(answer)
    staircase = Staircase(**{name: study["staircase"][name] for name in STAIRCASE})
    for number, block in blocks.items():
        wanted = staircase.exposures([answer["real"] == answer["said_real"] for answer in block])
        if [answer["exposure_ms"] for answer in block] != wanted:
            raise ValueError(f"the exposures of its block {number} do not follow from its answers")
    return Session(
        key=stored["session"],
        evaluator=stored["evaluator"].strip() or stored["session"],
        study=study,
        real=real,
        said_real=said_real,
        blocks=tuple(tuple(answer["exposure_ms"] for answer in block) for block in blocks.values()),
    )
