"""A number that can be cited: a value together with everything it depends on."""

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from etils import epath


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
        if not isinstance(stored["protocol"], dict):
            raise TypeError(f"a protocol is a dictionary, not {stored['protocol']!r}")
        interval = stored["interval"]
        value = math.nan if stored["value"] is None else float(stored["value"])
        return cls(**{**stored, "value": value, "interval": interval and (float(interval[0]), float(interval[1]))})


def read_scores(path: epath.PathLike) -> list[Score]:
    """The scores of a file, in order; none where there is no file, and lines that are no scores are left out."""
    path, scores = epath.Path(path), []
    # Damaged bytes make a line that is none.
    for line in path.read_bytes().decode(errors="replace").splitlines() if path.exists() else []:
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
