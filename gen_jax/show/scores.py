"""Scores as a person reads them: the number, its interval, and everything it depends on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gen_jax.metrics.score import Score
from gen_jax.metrics.titles import worded
from gen_jax.show.page import number

BETTER = {"larger": "larger is better", "smaller": "smaller is better", None: ""}


@dataclass(frozen=True)
class Row:
    """A score in words.

    Attributes:
      name: of the number.
      value: with its unit; a share has none.
      interval: "1.2 to 1.4", or "".
      better: which direction is, or "".
      arrow: the same as a sign, or "".
      provenance: what it depends on, term and value.
    """

    name: str
    value: str
    interval: str
    better: str
    arrow: str
    provenance: list[tuple[str, str]]


def by_step(scores: Iterable[Score]) -> list[tuple[int, list[Row]]]:
    """The scores of each step that was measured, newest step first, in the order they were stored."""
    found: dict[int, list[Row]] = {}
    for score in scores:
        found.setdefault(score.step, []).append(row(score))
    return sorted(found.items(), reverse=True)


def row(score: Score) -> Row:
    """One score in words."""
    return Row(
        name=worded(score),
        value=f"{number(score.value)} {'' if score.unit == 'share' else score.unit}".rstrip(),
        interval="" if score.interval is None else f"{number(score.interval[0])} to {number(score.interval[1])}",
        better=BETTER[score.better],
        arrow={"larger": "↑", "smaller": "↓", None: ""}[score.better],
        provenance=list(provenance(score.protocol)),
    )


def provenance(protocol: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Terms and values of a protocol. What is nested is one value: "mnist classifier, digest 0f3a, accuracy 0.991"."""
    for term, value in protocol.items():
        if value is not None:
            yield term.replace("_", " "), words(value)


def words(value: Any) -> str:
    """A value of a protocol: whole numbers with thousands apart, names as they are."""
    if isinstance(value, Mapping):
        parts = (
            words(v) if k in ("name", "split", "data") else f"{k.replace('_', ' ')} {words(v)}"
            for k, v in value.items()
            if v is not None
        )
        return ", ".join(parts)
    if isinstance(value, (list, tuple)):
        return ", ".join(words(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
