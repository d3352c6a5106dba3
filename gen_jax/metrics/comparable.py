"""Which numbers may be compared, by what they depend on, and in words why others may not."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gen_jax.metrics.score import Score

Protocol = Mapping[str, Any]
Runs = Mapping[int, Sequence[Score]]
"""{seed: scores}"""
Measured = Mapping[str, Runs]
"""{group: {seed: scores}}"""

# How much was drawn, and with what, makes a number more or less certain, and no other number.
DRAW = frozenset({"seed", "evaluators", "answers", "interval"})
# How samples are made belongs to what is measured: such numbers are compared, and it is said how they differ.
# Options of sampling, such as eta, are in the entry of that name.
SAMPLING = ("weights", "sampler", "sampler_steps", "sampling")
LONGEST = 24  # characters of what tells rows apart in their names


def measurement(protocol: Protocol) -> dict[str, Any]:
    """The fields that have to be equal for numbers to be comparable."""
    return {name: value for name, value in protocol.items() if name not in DRAW and name not in SAMPLING}


def sampling(protocol: Protocol) -> dict[str, Any]:
    """The fields that say how samples are made; options in words: "eta 0.5"."""
    found = {name: protocol[name] for name in SAMPLING if name in protocol}
    if isinstance(options := found.get("sampling"), Mapping):
        found["sampling"] = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items())
    return found


def protocols_of(metric: str, measured: Measured) -> list[dict[str, Any]]:
    """The different ways in which a metric was measured."""
    found: list[dict[str, Any]] = []
    for score in (score for runs in measured.values() for scores in runs.values() for score in scores):
        if score.metric == metric and measurement(score.protocol) not in found:
            found.append(measurement(score.protocol))
    return found


def ways_of_sampling(runs: Runs) -> dict[str, Runs]:
    """Scores of runs that were measured alike with samples made in several ways, by way: {"50 sampler steps": …}.

    What says nothing of the way is with the first; where there is but one, its name is "".
    """
    seen: dict[str, list[dict[str, Any]]] = {}
    for score in (score for scores in runs.values() for score in scores):
        key = json.dumps([score.metric, score.step, measurement(score.protocol)], sort_keys=True)
        seen.setdefault(key, []).append(sampling(score.protocol))
    several = {name for ways in seen.values() for name in _differing(ways)}
    first = {name: way[name] for ways in reversed(seen.values()) for way in reversed(ways) for name in way}
    found: dict[str, dict[int, list[Score]]] = {}
    for seed, scores in runs.items():
        for score in scores:
            way = {**first, **sampling(score.protocol)}
            name = ", ".join(_short(field, way[field]) for field in SAMPLING if field in several)
            found.setdefault(name, {}).setdefault(seed, []).append(score)
    return {name: {seed: by_seed.get(seed, []) for seed in runs} for name, by_seed in found.items()} or {"": runs}


def measured_differently(protocols: Sequence[Protocol]) -> tuple[list[str], str]:
    """What tells the rows of one metric apart, and in words in what they differ; "" for one row.

    Short values are named in the rows themselves, and not again in the words.
    """
    if len(protocols) == 1:
        return [""], ""
    flats = [flat(protocol) for protocol in protocols]
    differing = _differing(flats)
    values = [", ".join(_short(field, p[field]) for field in differing if field in p) for p in flats]
    if all(0 < len(value) <= LONGEST for value in values) and len(set(values)) == len(values):
        names = [f"({value})" for value in values]
        # A number is named with its field.
        unsaid = [_worded(field) for field in differing if any(isinstance(p.get(field), str) for p in flats)]
        details = f": they differ in {_enumerated(unsaid)}" if unsaid else ""
    else:
        names = [f"[{number}]" for number in range(1, len(protocols) + 1)]
        places = dict(zip(names, flats, strict=True))
        details = ": " + "; ".join(f"{_worded(field)} is {_listed(places, field, 'in')}" for field in differing)
    return [f" {name}" for name in names], f"rows {_enumerated(names)} are not comparable{details}."


def made_differently(ways: Mapping[str, Protocol]) -> str:
    """A sentence on how the samples of each group were made, where that differs, else ""."""
    differing = _differing(list(ways.values()))
    listed = [f"{name.replace('_', ' ')} {_listed(ways, name, 'of')}" for name in differing]
    return f"Made differently: {'; '.join(listed)}." if differing else ""


def flat(protocol: Protocol, prefix: str = "") -> dict[str, Any]:
    """Nested fields with their names joined by dots: {"features": {"digest": …}} -> {"features.digest": …}."""
    found: dict[str, Any] = {}
    for name, value in protocol.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def shared(protocols: Iterable[Protocol]) -> dict[str, Any]:
    """The fields that have the same value in all protocols; of nested ones, those within them."""
    first, *others = protocols
    found: dict[str, Any] = {}
    for name, value in first.items():
        values = [value, *(other.get(name) for other in others)]
        if all(isinstance(nested, Mapping) for nested in values):
            found |= {name: common} if (common := shared(values)) else {}
        elif all(name in other and other[name] == value for other in others):
            found[name] = value
    return found


def _differing(protocols: Sequence[Protocol]) -> list[str]:
    fields = dict.fromkeys(field for protocol in protocols for field in protocol)
    missing = object()
    return [f for f in fields if any(p.get(f, missing) != protocols[0].get(f, missing) for p in protocols)]


def _worded(field: str) -> str:
    """A field as a person reads it: "features digest" of "features.digest"."""
    return "how data are observed" if field == "observed" else field.replace(".", " ").replace("_", " ")


def _short(field: str, value: Any) -> str:
    """A name as it is, "1000 sampler steps" of a number of several, "step 600" of any other."""
    name = field.rpartition(".")[2].replace("_", " ")
    if isinstance(value, str):
        return value
    return f"{value} {name}" if name.endswith("s") else f"{name} {value}"


def _listed(protocols: Mapping[str, Protocol], field: str, word: str) -> str:
    """Each value of a field with where it is: "test in [1] and [2], train in [3]"."""
    places: dict[str, list[str]] = {}
    for place, protocol in protocols.items():
        places.setdefault(str(protocol.get(field, "not stated")), []).append(place)
    return ", ".join(f"{value} {word} {_enumerated(found)}" for value, found in places.items())


def _enumerated(names: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
