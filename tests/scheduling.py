"""Which tests run in one process: those of a file, and of the files that every experiment is held to, of an experiment.

Xdist has a mark for it, `xdist_group`, which does nothing under pytest 9.2: the group is added to a name that pytest no
longer reads. The names of tests are enough.
"""

import re

from xdist.scheduler import LoadFileScheduling

OF_AN_EXPERIMENT = re.compile(r"tests/experiments/test_(?:contract|training)\.py::\w+\[(\w+)")
"""A test whose first parameter is an experiment."""


def group_of(test: str) -> str:
    """What tests have in common that are in one process, where they share what they compile."""
    found = OF_AN_EXPERIMENT.match(test)
    return f"experiments.{found[1]}" if found else test.split("::")[0]


class Scheduling(LoadFileScheduling):
    """`--dist loadfile`, and each experiment as if it were a file."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
