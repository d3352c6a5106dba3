from typing import NamedTuple

import budgets


class Report(NamedTuple):
    nodeid: str
    when: str
    duration: float


def test_a_test_over_the_budget_of_its_room_is_named_the_longest_first():
    reports = [
        Report("tests/losses/test_elbo.py::test_short", "call", 2.9),
        Report("tests/losses/test_elbo.py::test_long", "call", 3.1),
        Report("tests/models/test_unet.py::test_longer[a-1]", "call", 4.0),
        Report("tests/training/test_kills.py::test_without_budget", "call", 99.0),
        Report("tests/test_rooms.py::test_in_no_room", "call", 99.0),
    ]
    assert budgets.over_budget(reports) == [
        (4.0, 3.0, "tests/models/test_unet.py::test_longer[a-1]"),
        (3.1, 3.0, "tests/losses/test_elbo.py::test_long"),
    ]


def test_set_up_counts_where_an_experiment_is_trained_and_nowhere_else():
    phases = {"setup": 8.0, "call": 2.5, "teardown": 8.0}
    for room, expected in (("experiments", [10.5]), ("methods", [])):
        reports = [Report(f"tests/{room}/test_it.py::test_it", when, seconds) for when, seconds in phases.items()]
        assert [excess.seconds for excess in budgets.over_budget(reports)] == expected


def test_a_line_says_what_it_took_what_it_may_take_and_its_name():
    assert budgets.lines([budgets.Excess(12.34, 10.0, "tests/a.py::test")]) == ["  12.3 s of  10  tests/a.py::test"]
