"""A number that can be cited: a value together with everything it depends on."""

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from etils import epath

# From this many samples on, and at least as many as there are features, a distance between distributions is comparable.
COMPARABLE = 10_000


@dataclass(frozen=True)
class Score:
    """One number about a run.

    Attributes:
      metric: what it is called in files: "fid_mnist_classifier", "elbo", "precision_mnist_classifier".
      name: what it is called on a page, with what forbids a comparison: "FID-1k (mnist classifier), not comparable".
      value: the number; NaN where it is not defined.
      better: which direction is better, or None where neither is.
      step: completed training steps of the state that was measured.
      protocol: what it depends on, as JSON: samples, seed, weights, sampler, features, reference, …
      interval: a 95% interval, where the estimate comes with one.
      unit: of the value: "nats", "bits", "share", …; "" for none.
    """

    metric: str
    name: str
    value: float
    better: Literal["larger", "smaller"] | None
    step: int
    protocol: dict[str, Any] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    unit: str = ""

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it: what is not finite becomes null."""
        stored = dataclasses.asdict(self)
        stored["value"] = self.value if math.isfinite(self.value) else None
        stored["interval"] = None if self.interval is None else list(self.interval)
        return stored

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Score":
        """What `as_json` stored.

        Raises:
          TypeError, KeyError, ValueError: it did not.
        """
        interval = stored["interval"]
        value = math.nan if stored["value"] is None else float(stored["value"])
        return cls(**{**stored, "value": value, "interval": None if interval is None else tuple(interval)})


def sample_count(samples: int) -> str:
    """How a number of samples is written in a name: 500, 1k, 2.5k, 50k."""
    return f"{samples / 1000:g}k" if samples >= 1000 else str(samples)


def qualified(name: str, metric: str, samples: int, features: str, dimension: int) -> tuple[str, str]:
    """The names on a page and in files of a number that depends on sample count and feature network.

    Args:
      name: the field's: "FID".
      metric: the same for files: "fid".
      samples: how many it was computed from, the smaller of both sets.
      features: name of the feature network: "inception", "mnist classifier". Only Inception's is a plain name.
      dimension: of the features.

    Returns:
      ("FID", "fid") for ten thousand samples and Inception; otherwise all that differs is in both names.
    """
    short = samples < max(COMPARABLE, dimension)
    count = f"-{sample_count(samples)}" if short else ""
    network = "" if features == "inception" else f" ({features})"
    slug = "" if features == "inception" else "_" + features.replace(" ", "_")
    return (
        f"{name}{count}{network}" + (", not comparable" if short else ""),
        metric + count.replace("-", "_").replace(".", "p") + slug,
    )


def read_scores(path: epath.PathLike) -> list[Score]:
    """The scores of a file, in order; none where there is no file, and lines that are no scores are left out."""
    path, scores = epath.Path(path), []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            scores.append(Score.from_json(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            continue
    return scores


def store_scores(path: epath.PathLike, scores: Iterable[Score]) -> None:
    """Adds scores to a file, at once; each takes the place of one of the same metric, step and protocol."""
    path = epath.Path(path)
    kept: dict[str, Score] = {}
    for score in [*read_scores(path), *scores]:
        key = json.dumps([score.metric, score.step, score.protocol], sort_keys=True)
        kept.pop(key, None)
        kept[key] = score
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(json.dumps(score.as_json()) + "\n" for score in kept.values()))
    temporary.replace(path)
