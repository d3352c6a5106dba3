"""What `python -m benchmarks.speed` can be asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.speed.workloads import WORKLOADS

# The names of their packages.
PUBLIC = ("pythae", "denoising_diffusion_pytorch")
STARTUP = "startup"
NAMES = (*WORKLOADS, *PUBLIC, STARTUP)
DOCS = Path("docs/performance.md")


@dataclass(frozen=True)
class Options:
    """What is measured, and how."""

    workloads: str = ""
    """Names with commas between; see below (default: all)."""
    pairs: int = 7
    """Pairs of turns; of public trainers at most 3."""
    seconds: float = 3.0
    """What a turn takes."""
    precision: Literal["float32", "tensorfloat32", "bfloat16"] = "float32"
    """Of both sides; tensorfloat32 is float32 in whose matrix products an accelerator rounds."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where (default: on an accelerator where both sides find one)."""
    threads: int | None = None
    """Of PyTorch (default: as many as there are cores)."""
    data_dir: str | None = None
    """Where TFDS's mnist, fashion_mnist and cifar10 are prepared (default: random images, which take as long)."""
    quick: bool = False
    """Two pairs of short turns, PyTorch's plain modes alone, and docs/ left as they are: whether it works."""
    out: Path | None = None
    """Where the results go as JSON (default: runs/speed/TIME.json); what is there and not measured again is kept."""
    docs: Path | None = DOCS
    """The file whose tables are to be written anew."""
