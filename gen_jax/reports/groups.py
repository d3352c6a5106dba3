"""Which runs belong together, and what tells the others apart."""

import os
from collections.abc import Sequence
from itertools import combinations, takewhile

from gen_jax.config import shown
from gen_jax.metrics.comparison import Group
from gen_jax.run.recorded import RecordedRun

LONGEST = 40  # characters of the fields in a label
MOST = 3  # fields in one that has to be cut down


def grouped(runs: Sequence[RecordedRun]) -> tuple[list[Group], list[str]]:
    """The groups of runs on one data set, in the order given, and notes in words.

    A group's runs differ in nothing but the seed, and each has another one.
    """
    apart, suffixes, notes = [], [], []
    for same in _by([run.identity for run in runs], runs):
        split = _kept_apart(same)
        apart += list(split.values())
        suffixes += list(split)
        if len(split) > 1:
            names = ", ".join(str(run.path) for run in same)
            notes.append(f"These have the same configuration and the same seeds, and are kept apart: {names}.")
    labels, hidden = distinguishing_labels(apart, suffixes)
    groups = [
        Group(label, tuple(sorted((run.member for run in group), key=lambda member: member.seed)))
        for label, group in zip(labels, apart, strict=True)
    ]
    return groups, notes + hidden


def _by(keys: Sequence[str], runs: Sequence[RecordedRun]) -> list[list[RecordedRun]]:
    """The runs of each key, in order of their first."""
    found: dict[str, list[RecordedRun]] = {}
    for key, run in zip(keys, runs, strict=True):
        found.setdefault(key, []).append(run)
    return list(found.values())


def _kept_apart(same: list[RecordedRun]) -> dict[str, list[RecordedRun]]:
    """Runs of one configuration, by what is added to their label: nothing, as long as all seeds differ.

    A seed stands for one independent run. Where it occurs twice, such as before and after a change of code, the runs
    of each parent directory belong together; where that is not enough, each run is alone.
    """
    paths = [os.path.abspath(run.path) for run in same]
    for places in ([""] * len(same), [os.path.dirname(path) for path in paths], paths):
        groups = _by(places, same)
        if all(len({run.member.seed for run in group}) == len(group) for group in groups):
            break
    distinct = list(dict.fromkeys(places))
    short = [os.path.basename(place) for place in distinct]
    return dict(zip(short if len(set(short)) == len(short) else distinct, groups, strict=True))


def distinguishing_labels(
    groups: Sequence[Sequence[RecordedRun]], suffixes: Sequence[str]
) -> tuple[list[str], list[str]]:
    """What tells each group from the others: its experiment, or the fields that differ, or the directory's name.

    Args:
      groups: runs of one configuration each.
      suffixes: what is added in brackets; "" for nothing.

    Returns:
      The labels, and notes on fields that differ and are in no label.
    """
    modules = dict.fromkeys(group[0].module for group in groups)
    labels, notes = [], []
    for module in modules:
        ours = [group[0] for group in groups if group[0].module == module]
        differing, telling = _telling(ours)
        if hidden := [name for name in differing if name not in telling]:
            notes.append(f"The runs of {ours[0].experiment} also differ in {', '.join(hidden)}.")
    for group, suffix in zip(groups, suffixes, strict=True):
        run = group[0]
        differing, telling = _telling([other[0] for other in groups if other[0].module == run.module])
        parts = [f"{name}={shown(run.fields.get(name))}" for name in telling]
        if len(modules) > 1 or not differing:
            parts.insert(0, run.experiment)
        if differing and not telling:
            parts.append(_common_name([member.member.name for member in group]))
        labels.append(", ".join(parts) + (f" ({suffix})" if suffix else ""))
    alike = [labels.count(label) > 1 for label in labels]
    paths = [str(group[0].path) for group in groups]
    return [
        f"{label} ({path})" if same else label for label, path, same in zip(labels, paths, alike, strict=True)
    ], notes


def _telling(runs: Sequence[RecordedRun]) -> tuple[list[str], list[str]]:
    """The fields in which runs of one experiment differ, and those for a label.

    All, if they are short; else as few as tell the runs apart; none, if even those are long.
    """
    names = dict.fromkeys(name for run in runs for name in run.fields)
    differing = [name for name in names if any(run.fields.get(name) != runs[0].fields.get(name) for run in runs)]
    configurations = len({run.identity for run in runs})
    fewer = (list(chosen) for size in range(1, MOST + 1) for chosen in combinations(differing, size))
    for chosen in (differing, *fewer):
        written = [", ".join(f"{name}={shown(run.fields.get(name))}" for name in chosen) for run in runs]
        if max(map(len, written)) <= LONGEST and len(set(written)) == configurations:
            return differing, chosen
    return differing, []


def _common_name(names: Sequence[str]) -> str:
    """How the names of all directories begin, or the first name."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike).rstrip("-_. ") or names[0]
