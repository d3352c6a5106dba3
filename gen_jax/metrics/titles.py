"""What numbers of metrics.jsonl are called where a person reads them, in a table as above a chart."""

from collections.abc import Iterable, Mapping

from gen_jax.metrics.logged import NAMES, UNITS
from gen_jax.metrics.score import Score

HELD_OUT = "eval/"
"""How the names of metrics begin that were logged on held-out data."""
WORDS = NAMES | {
    "nll": "Negative log-likelihood",
    "bits_per_dim": "Bits per dimension",
    "modes": "Modes found",
    "high_quality": "High-quality samples",
    "fid": "FID",
    "kid": "KID",
}


def score_names(scores: Iterable[Score]) -> dict[str, str]:
    """What scores call their metrics, of those that have a name for readers: {"fid_5k_inception": "FID-5k (…)"}."""
    return {score.metric: score.name for score in scores if not _is_raw(score)}


def worded(score: Score, known: Mapping[str, str] = {}) -> str:
    """A score's name for readers, also where it has only that of the file."""
    return title_of(score.metric, known) if _is_raw(score) else score.name


def title_of(metric: str, known: Mapping[str, str], units: bool = False) -> str:
    """What a metric is called.

    Args:
      metric: its name in files: "discriminator_loss", "eval/elbo", "train/loss (vae)".
      known: what scores call metrics.
      units: whether the unit is added, where there is one.

    Returns:
      "Discriminator loss"; "ELBO, held-out"; "Loss (vae), training".
    """
    named, bracket, kind = metric.partition(" (")
    split, _, name = named.rpartition("/")
    where = {"eval": ", held-out", "train": ", training", "": ""}.get(split, f", {split}")
    words = WORDS.get(name) or known.get(name) or _spaced(name)
    unit = UNITS.get(name, "") if units else ""
    # "Bits per dimension" says it.
    said = f" ({unit})" if unit and unit not in words.lower() else ""
    return f"{words}{bracket}{kind}{where}{said}"


def _is_raw(score: Score) -> bool:
    return score.name == score.metric or score.metric.startswith(HELD_OUT)


def _spaced(name: str) -> str:
    """FID 5k inception of fid_5k_inception, Fake logits of fake_logits."""
    first, _, rest = name.partition("_")
    return f"{WORDS.get(first) or first[:1].upper() + first[1:]} {rest.replace('_', ' ')}".rstrip()
