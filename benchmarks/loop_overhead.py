"""What the training loop costs over the bare jitted step, on the VAE.

    python -m benchmarks.loop_overhead [--data mnist --data-dir DIR]

Both take the same steps of the same game from the same state; the loop also logs every 100 steps, to a file. They
alternate, because machines drift; the ratio of each pair is printed and the median is the figure.
"""

import io
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import tyro
from rich.console import Console

from benchmarks.setting import Setting
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.loop import Cadence, train
from gen_jax.training.metrics_log import MetricsLog
from gen_jax.training.progress import Reporter
from gen_jax.training.sharding import make_mesh
from gen_jax.training.state import State


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    data: str = "digits"
    """What the VAE learns."""
    data_dir: str | None = None
    """Where TFDS data sets are prepared."""
    steps: int = 2_000
    """Steps of each run."""
    pairs: int = 7
    """Pairs of runs."""


class Unsaved(Checkpoints):
    """Saves nothing: what saving costs is another question."""

    def __init__(self) -> None:
        pass

    def latest(self) -> int | None:
        return None

    def save(self, step: int, state: State, metrics: dict[str, float] | None = None) -> None:
        pass

    def check(self) -> None:
        pass

    def wait(self) -> None:
        pass


def main(options: Options) -> None:
    setting = Setting("vae", make_mesh(), data=options.data, data_dir=options.data_dir)
    with tempfile.TemporaryDirectory() as directory:

        def looped(run: int) -> float:
            state = setting.initial()
            path = Path(directory, str(run))
            path.mkdir()
            log = MetricsLog(path, 0)
            reporter = Reporter(Console(file=io.StringIO()), 0, options.steps, setting.config.batch_size)
            begun = time.perf_counter()
            with reporter:
                jax.block_until_ready(
                    train(
                        setting.program,
                        state,
                        Cadence(options.steps, log_every=100, eval_every=0, save_every=0),
                        checkpoints=Unsaved(),
                        log=log,
                        reporter=reporter,
                        evaluate=lambda step, state: {},
                    )
                )
            return time.perf_counter() - begun

        setting.bare(options.steps), looped(0)
        ratios = []
        for pair in range(options.pairs):
            a, b = setting.bare(options.steps)[0], looped(pair + 1)
            ratios.append(b / a)
            print(
                f"bare step {1e3 * a / options.steps:.3f} ms, in the loop {1e3 * b / options.steps:.3f} ms, "
                f"ratio {b / a:.4f}"
            )
    print(f"median ratio {statistics.median(ratios):.4f} over {options.pairs} pairs of {options.steps} steps")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
