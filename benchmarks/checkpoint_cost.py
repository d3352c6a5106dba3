"""What checkpoints cost a training: the digest of the state, the wait for the save to begin, and all of it.

    python -m benchmarks.checkpoint_cost [--experiments vae dcgan wgan_gp ddpm]

Each pair is one interval between two saves of the default preset, bare and with one save at its beginning, written in
the background while the steps go on; the interval ends when the steps are taken and the checkpoint is on disk. The
medians are the figures.
"""

import dataclasses
import statistics
import tempfile
import time
from dataclasses import dataclass

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.setting import Setting
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.fingerprint import leaf_digests
from gen_jax.training.sharding import make_mesh
from gen_jax.training.state import State


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    experiments: tuple[str, ...] = ("vae", "dcgan", "wgan_gp", "ddpm")
    """Names of experiments."""
    seconds: float = 10.0
    """An interval that would take longer is cut to about so long; shares are still of the whole one."""
    pairs: int = 5
    """Pairs of intervals."""


def with_save(setting: Setting, checkpoints: Checkpoints, steps: int) -> tuple[float, float]:
    """(seconds of the interval, of these those in which the loop waited for the save to begin)."""
    # The save of a step that is there already would be none: every interval begins with another step's number.
    number = (checkpoints.latest() or 0) + 1
    state = numbered(setting.initial(), number)
    begun = time.perf_counter()
    checkpoints.save(number, state)
    waited = time.perf_counter() - begun
    setting.bare(steps, state)
    checkpoints.wait()
    return time.perf_counter() - begun, waited


def numbered(state: State, step: int) -> State:
    """The state as that of another step."""
    return dataclasses.replace(state, step=jax.device_put(np.int32(step), state.step.sharding))


def digest_seconds(state: State, repeats: int = 20) -> float:
    """The median time of a digest of all leaves, compiled before."""
    times = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        leaf_digests(state)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def main(options: Options) -> None:
    console = Console(width=120)
    rows = (
        "experiment",
        "state MB",
        "step ms",
        "interval",
        "digest ms",
        "of interval",
        "wait ms",
        "of interval",
        "all",
    )
    table = Table(*rows, title="What a checkpoint costs, at the default interval between saves")
    for name in options.experiments:
        setting = Setting(name, make_mesh(jax.devices()[:1]))
        interval = setting.config.save_every
        setting.bare(20)
        _, state = setting.bare(20)
        taken, _ = setting.bare(50)
        steps = max(1, min(interval, int(50 * options.seconds / taken)))
        digest = digest_seconds(state)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
        step_seconds, extra, waits = [], [], []
        with tempfile.TemporaryDirectory() as directory:
            checkpoints = Checkpoints(directory)
            with_save(setting, checkpoints, 10)
            for _ in range(options.pairs):
                bare, _ = setting.bare(steps)
                saved, waited = with_save(setting, checkpoints, steps)
                step_seconds.append(bare / steps)
                extra.append(saved - bare)
                waits.append(waited)
            checkpoints.close()
        step, wait = statistics.median(step_seconds), statistics.median(waits)
        whole = interval * step
        table.add_row(
            name,
            f"{size:.1f}",
            f"{1e3 * step:.2f}",
            f"{interval:,} steps",
            f"{1e3 * digest:.1f}",
            f"{digest / whole:.3%}",
            f"{1e3 * wait:.0f}",
            f"{wait / whole:.2%}",
            f"{statistics.median(extra) / whole:.2%}",
        )
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
