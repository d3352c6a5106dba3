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
        interval = stored["interval"]
        kinds = {"metric": str, "name": str, "step": int, "protocol": dict, "unit": str}
        if any(type(stored[name]) is not kind for name, kind in kinds.items()):
            raise TypeError(f"no score: {stored!r}")
        if stored["better"] not in ("larger", "smaller", None):
            raise ValueError(f"no direction: {stored['better']!r}")
        value = math.nan if stored["value"] is None else float(stored["value"])
        return cls(**{**stored, "value": value, "interval": interval and (float(interval[0]), float(interval[1]))})


def read_scores(path: epath.PathLike) -> list[Score]:
    """The scores of a file, in order; none where there is no file, and lines that are no scores are left out."""
    return [line for line in _lines(path) if isinstance(line, Score)]


def _lines(path: epath.PathLike) -> list[Score | str]:
    """The lines of a file, in order: scores, and what is none as it is written."""
    path, found = epath.Path(path), list[Score | str]()
    # Damaged bytes make a line that is none.
    for line in path.read_bytes().decode(errors="replace").splitlines() if path.exists() else []:
        try:
            found.append(Score.from_json(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            found.append(line)
    return found


def store_scores(path: epath.PathLike, scores: Iterable[Score]) -> None:
    """Adds scores to a file, at once; each takes the place of one of the same metric, step and protocol.

    Lines that are no scores, such as those of a later version, are left as they are.
    """
    path = epath.Path(path)
    kept: dict[str, str] = {}
    for line in [*_lines(path), *scores]:
        if isinstance(line, str):
            kept[line] = line
            continue
        key = json.dumps([line.metric, line.step, line.protocol], sort_keys=True)
        kept.pop(key, None)
        kept[key] = json.dumps(line.as_json())
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(line + "\n" for line in kept.values()))
    temporary.replace(path)
