"""How long a test may take, by its room. Nothing fails by the clock: a run says at its end which tests took longer."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, Protocol

BUDGETS = {"losses": 3.0, "models": 3.0, "methods": 3.0, "samplers": 3.0, "experiments": 10.0}
"""Seconds of a test, by the room of `tests/` that it is in. The other rooms have no budget."""
WITH_SET_UP = {"experiments"}
"""Rooms in which the set-up counts: there an experiment is trained. Elsewhere it is shared, and no test's own."""


class Report(Protocol):
    """What is read of pytest's report of one phase of a test."""

    nodeid: str
    when: str
    duration: float


class Excess(NamedTuple):
    """A test that took longer than it may."""

    seconds: float
    budget: float
    test: str


def room_of(test: str) -> str:
    """The room of a test: `losses` of `tests/losses/test_elbo.py::test_it`."""
    parts = test.split("::")[0].split("/")
    return parts[1] if len(parts) > 2 else ""


def over_budget(reports: Iterable[Report]) -> list[Excess]:
    """The tests whose phases took longer than their room allows, the longest first."""
    seconds: dict[str, float] = defaultdict(float)
    for report in reports:
        if report.when == "call" or (report.when == "setup" and room_of(report.nodeid) in WITH_SET_UP):
            seconds[report.nodeid] += report.duration
    found = [Excess(taken, BUDGETS.get(room_of(test), float("inf")), test) for test, taken in seconds.items()]
    return sorted((excess for excess in found if excess.seconds > excess.budget), reverse=True)


def lines(excesses: Iterable[Excess]) -> list[str]:
    """One for each test: what it took, what it may take, its name."""
    return [f"{seconds:6.1f} s of {budget:3.0f}  {test}" for seconds, budget, test in excesses]
