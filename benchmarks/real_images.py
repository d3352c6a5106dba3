"""What a perfect model would score: training images, and noise, in the place of samples.

    python -m benchmarks.real_images --data mnist --data-dir DIR

Distances of a finite set of real images from another are not zero, nor are precision and recall one: scores of models
are to be read beside these.
"""

from dataclasses import dataclass

import numpy as np
import tyro
from rich.console import Console

from gen_jax.data import load_dataset
from gen_jax.metrics.collected import evenly_spread
from gen_jax.metrics.feature_measures import feature_measures
from gen_jax.metrics.feature_scores import feature_scores
from gen_jax.show.page import number
from gen_jax.show.terminal import print_table
from gen_jax.training.sharding import make_mesh


@dataclass(frozen=True)
class Options:
    """What is measured."""

    data: str = "mnist"
    """A TFDS name, digits, or folder:PATH."""
    data_dir: str | None = None
    """Where TFDS data sets are prepared."""
    image_size: int | None = None
    """Side in pixels to which images are resized and cropped."""
    samples: int = 10_000
    """How many images take the place of samples."""


def main(options: Options) -> None:
    dataset = load_dataset(options.data, data_dir=options.data_dir, image_size=options.image_size)
    scores = feature_scores(list(feature_measures()), options.samples, dataset, make_mesh(), say=print)
    real = dataset.train.load(evenly_spread(dataset.train.size, options.samples))["x"]
    noise = np.random.default_rng(0).integers(0, 256, real.shape, np.uint8)
    found = {"training images": scores(real), "uniform noise": scores(noise)}
    rows = [[name, *(number(values[name]) for values in found.values())] for name in scores.names]
    print_table(Console(), ["score", *found], rows)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
