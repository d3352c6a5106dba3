"""What `--reproducible` costs a step: one CPU device as it is, against two virtual ones with eight virtual shards.

    python -m benchmarks.reproducible_cost [--experiments vae dcgan wgan_gp ddpm]

Default presets. The two alternate, because machines drift; of the ratios of the pairs the median is the figure.
"""

import statistics
from dataclasses import dataclass

import jax
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.setting import Setting
from gen_jax.training.sharding import make_mesh


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    experiments: tuple[str, ...] = ("vae", "dcgan", "wgan_gp", "ddpm")
    """Names of experiments."""
    data: str | None = None
    """What they learn; None: what their default is."""
    data_dir: str | None = None
    """Where TFDS data sets are prepared."""
    steps: int = 200
    """Steps of each half of a pair."""
    pairs: int = 7
    """Pairs."""


def main(options: Options) -> None:
    # As `--reproducible` does on a CPU that would be one device.
    jax.config.update("jax_num_cpu_devices", 2)
    table = Table(
        "experiment", "plain ms", "reproducible ms", "ratio", "from", "to", title="What a reproducible step costs"
    )
    for name in options.experiments:
        data = {"data": options.data, "data_dir": options.data_dir}
        plain = Setting(name, make_mesh(jax.devices()[:1]), **data)
        reproducible = Setting(name, make_mesh(), reproducible=True, **data)
        pairs = []
        for setting in (plain, reproducible):
            setting.bare(20)
        for _ in range(options.pairs):
            pairs.append((plain.bare(options.steps)[0], reproducible.bare(options.steps)[0]))
        ratios = [b / a for a, b in pairs]
        a, b = (1e3 * statistics.median(half) / options.steps for half in zip(*pairs, strict=True))
        table.add_row(
            name, f"{a:.2f}", f"{b:.2f}", f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}", f"{max(ratios):.2f}"
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
