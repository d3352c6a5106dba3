"""Every measure of a run, by the name that the command line has for it."""

from collections.abc import Callable, Mapping, Sequence

from gen_jax.errors import ConfigError, DoesNotApply, nearest
from gen_jax.measures.agreement import agreement
from gen_jax.measures.features import in_features
from gen_jax.measures.likelihood import bits, held_out, nll
from gen_jax.measures.memorisation import neighbours
from gen_jax.measures.points import mixture, wasserstein
from gen_jax.measures.protocol import Protocol
from gen_jax.measures.recognition import recognition
from gen_jax.measures.subject import Subject
from gen_jax.metrics.feature_measures import feature_measures
from gen_jax.metrics.score import Score

__all__ = ["MEASURES", "QUICK", "DoesNotApply", "Protocol", "Subject", "measure"]

Measure = Callable[[Subject], list[Score]]
"""Gives scores of a subject, or raises `DoesNotApply`."""

MEASURES: Mapping[str, Measure] = {
    "held_out": held_out,
    "nll": nll,
    "bits_per_dim": bits,
    "mixture": mixture,
    "wasserstein": wasserstein,
    **{name: in_features(name) for name in feature_measures()},
    "neighbours": neighbours,
    "recognition": recognition,
    "agreement": agreement,
}

# What is measured where nothing is asked for: what takes seconds.
QUICK = ("held_out", "mixture", "recognition")


def measure(subject: Subject, names: Sequence[str]) -> list[Score]:
    """Scores by the measures of those names, in that order; "all", or no name, for all, or the quick ones, that apply.

    Raises:
      ConfigError: there is no measure of a name, or one does not apply, or cannot be computed as asked.
    """
    for name in names:
        if name not in MEASURES and name != "all":
            raise ConfigError(f"--metrics has {name!r}{nearest(name, MEASURES)}. Accepted: all, {', '.join(MEASURES)}")
    chosen = MEASURES if "all" in names else dict.fromkeys(names or QUICK)
    scores: list[Score] = []
    left_out: dict[str, list[str]] = {}
    for name in chosen:
        try:
            scores += MEASURES[name](subject)
        except DoesNotApply as error:
            if names and "all" not in names:
                raise
            left_out.setdefault(str(error), []).append(name)
    for reason, which in left_out.items():
        if names:
            subject.say(f"left out: {reason}" if len(which) == 1 else f"left out: {', '.join(which)}: {reason}")
    return scores
