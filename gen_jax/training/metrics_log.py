"""`metrics.jsonl` and its twin for TensorBoard: one line per logged step and split."""

import json
import math
import os
from collections.abc import Mapping

from etils import epath


class MetricsLog:
    """Appends lines such as {"step": 100, "split": "train", "loss": 0.7}: finite numbers, or null for what is not.

    What depends on the machine, such as examples per second, goes to TensorBoard alone, so that `metrics.jsonl` is a
    function of the configuration.
    """

    def __init__(self, directory: epath.PathLike, step: int):
        """Opens the log of a run that continues after `step` steps; later lines, which will be written again, go.

        Args:
          directory: the run directory; `gs://` works too, where every flush writes the whole file again.
          step: the step of the checkpoint that the run continues from, 0 for a new run.
        """
        from tensorboardX import SummaryWriter

        directory = epath.Path(directory)
        self._path = directory / "metrics.jsonl"
        self._local = "://" not in str(directory)
        self._lines = [line for line in self._intact_lines() if json.loads(line)["step"] <= step]
        self._written = len(self._lines)
        self._write_all()
        self._tensorboard = SummaryWriter(str(directory), purge_step=step + 1)

    def write(self, step: int, split: str, metrics: Mapping[str, float], machine: Mapping[str, float] = {}) -> None:
        """Adds a line.

        Args:
          step: completed steps.
          split: "train" or "eval".
          metrics: what was measured.
          machine: what was measured of the machine, for TensorBoard only.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._lines.append(json.dumps({"step": step, "split": split, **finite}))
        for name, value in {**metrics, **machine}.items():
            self._tensorboard.add_scalar(f"{split}/{name}", value, step)

    def flush(self) -> None:
        """Puts what was written on disk; to be called before a checkpoint that assumes it is there."""
        if self._local:
            with self._path.open("a") as file:
                file.writelines(f"{line}\n" for line in self._lines[self._written :])
                file.flush()
                os.fsync(file.fileno())
        else:
            self._write_all()
        self._written = len(self._lines)
        self._tensorboard.flush()

    def close(self) -> None:
        """Flushes, and lets go of the files."""
        self.flush()
        self._tensorboard.close()

    def _write_all(self) -> None:
        """Replaces the file at once, so that a kill leaves the old one or the new one."""
        temporary = self._path.with_name(self._path.name + ".tmp")
        temporary.write_text("".join(f"{line}\n" for line in self._lines))
        temporary.replace(self._path)

    def _intact_lines(self) -> list[str]:
        """The lines of the file as it is, without a last one that a kill cut short."""
        if not self._path.exists():
            return []
        text = self._path.read_text()
        return text[: text.rfind("\n") + 1].splitlines()
