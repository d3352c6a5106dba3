"""Copies of the experiments under other names, to see how the tests fare when there are many more."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "experiments"
SHARING = 4
"""So many copies of an experiment are of one family: among sixty there are more families than among five."""


def write(names: Sequence[str], families: Mapping[str, str], count: int, directory: Path) -> Path:
    """Writes so many copies, in turns of all experiments, each of which says its family. Returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(itertools.islice(itertools.cycle(names), count)):
        number = index // len(names)
        copy, group = f"toy_{name}_{number:02}", number // SHARING
        family = f"{families[name]} {group}" if group else families[name]
        code = re.sub(rf"\bexperiments\.{name}\b", f"experiments.{copy}", (SOURCES / f"{name}.py").read_text())
        # Before a command would run it. An Experiment is frozen.
        says = f'object.__setattr__(EXPERIMENT, "family", "{family}")\n\nif __name__'
        (directory / f"{copy}.py").write_text(code.replace("if __name__", says))
    return directory
