"""What numbers of metrics.jsonl are called where a person reads them, in a table as above a chart."""

from collections.abc import Iterable, Mapping

from gen_jax.metrics.logged import reported, spaced
from gen_jax.metrics.score import Score
from gen_jax.training.game import Reported

HELD_OUT = "eval/"
"""How the names of metrics begin that were logged on held-out data."""


def score_names(scores: Iterable[Score]) -> dict[str, str]:
    """What scores call their metrics, of those that have a name for readers: {"fid_5k_inception": "FID-5k (…)"}."""
    return {score.metric: score.name for score in scores if not _is_raw(score)}


def worded(score: Score, known: Mapping[str, str] = {}, reports: Mapping[str, Reported] = {}) -> str:
    """A score's name for readers, also where it has only that of the file."""
    return title_of(score.metric, known, reports) if _is_raw(score) else score.name


def title_of(metric: str, known: Mapping[str, str], reports: Mapping[str, Reported] = {}, units: bool = False) -> str:
    """What a metric is called.

    Args:
      metric: its name in files: "discriminator_loss", "eval/elbo", "train/loss (vae)".
      known: what scores call metrics.
      reports: what methods say of theirs.
      units: whether the unit is added, where there is one.

    Returns:
      "Discriminator loss"; "ELBO, held-out"; "Loss (vae), training".
    """
    named, bracket, kind = metric.partition(" (")
    split, _, name = named.rpartition("/")
    where = {"eval": ", held-out", "train": ", training", "": ""}.get(split, f", {split}")
    found = reported(name, reports)
    words = known.get(name, found.title) if found.title == spaced(name) else found.title
    unit = found.unit if units else ""
    # "Bits per dimension" says it.
    said = f" ({unit})" if unit and unit not in words.lower() else ""
    return f"{words}{bracket}{kind}{where}{said}"


def _is_raw(score: Score) -> bool:
    return score.name == score.metric or score.metric.startswith(HELD_OUT)
