"""The pictures of a report: what a method does with held-out data, and the training images nearest to its samples."""

import math

import jax
import numpy as np
from jaxtyping import UInt8

from gen_jax.data import Dataset, Field, Split
from gen_jax.loaded import Run
from gen_jax.metrics.evenly import evenly_spread
from gen_jax.metrics.neighbours import nearest
from gen_jax.run.views import arranged, compiled_view, spread, view_batch
from gen_jax.show.charts import Chart, Series
from gen_jax.show.grid import image_grid
from gen_jax.show.pictures import Image, picture
from gen_jax.show.report_page import Illustration, Neighbour, Neighbours
from gen_jax.training import keys

# Samples whose neighbours are looked for, and how many of them are shown.
SAMPLES = 6
NEIGHBOURS = 5
# Numbers in the training images that are searched, which is all of CIFAR-10, and at a time: 256 MiB in float32. Where
# each image has to be decoded, so many images.
SEARCHED = 1 << 28
AT_ONCE = 1 << 26
DECODED = 2048
# Held-out images that say which distance is usual.
HELD_OUT = 64

PATHS = "One path for each row, through the points of its columns; its large point is the last."

Images = UInt8[np.ndarray, "n height width channels"]
Pixels = UInt8[np.ndarray, "n pixels"]


def illustrations(run: Run, dataset: Dataset | None) -> tuple[list[Illustration], list[str]]:
    """The views of a run's game, and a sentence about those that cannot be had without the data set."""
    found, left_out = [], []
    batch = view_batch(run.game, run.info, dataset, run.config.seed)
    for name, view in run.game.views.items():
        if dataset is None and view.looks_at_data:
            left_out.append(f"{view.title} are missing: they show held-out data.")
            continue
        key = keys.derive(jax.random.key(run.config.seed), "view", name)
        rows = compiled_view(run.game, view, run.mesh)(run.state, batch, key)
        found.append(illustration(view.title, view.caption, rows, run.info.fields[run.game.makes]))
    return found, left_out


def illustration(title: str, caption: str, rows: np.ndarray, field: Field) -> Illustration:
    """What a view shows, (rows, columns, *shape): images, paths of points, or a picture by the kind of field."""
    if rows.ndim == 5:
        # Pairs stand one below the other, since most screens are wider than high.
        rows = rows.swapaxes(0, 1) if rows.shape[1] == 2 else rows
        grid = image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1], least_side=1)
        return Illustration(title, caption, picture(grid))
    if field.kind != "points":
        return Illustration(title, caption, picture(arranged(rows, field)))
    paths = [
        Series(f"row {number}", path[:, 0].tolist(), path[:, 1].tolist(), colour=number, points=True)
        for number, path in enumerate(rows, start=1)
    ]
    return Illustration(title, f"{caption} {PATHS}", Chart(title, paths, "x", "y", square=True))


def neighbours(run: Run, dataset: Dataset, step: int, grid: Image) -> Neighbours | None:
    """The training images nearest to the first samples of a grid; None for points, of which all are near to others."""
    if not run.info.is_image:
        return None
    samples = tiles(grid, dataset.shape, run.config.grid_samples)
    if samples is None:
        step, samples = run.step, run.sample(SAMPLES)
    samples = flat(samples[:SAMPLES])
    train = dataset.train
    pixels = samples.shape[1]
    most = min(train.size, SEARCHED // pixels, DECODED if train.arrays is None else train.size)
    places = evenly_spread(train.size, most)
    parts = [places[start : start + AT_ONCE // pixels] for start in range(0, most, AT_ONCE // pixels)]
    queries = np.concatenate([samples, flat(spread(dataset.test, HELD_OUT)["x"])])
    distances, indices = nearest_in_parts(queries, train, parts, min(NEIGHBOURS, most))
    width = max(32, dataset.shape[1])
    rows = [
        (
            picture(sample.reshape(dataset.shape), width),
            [
                Neighbour(picture(image, width), float(distance))
                for image, distance in zip(train.load(indices[number])["x"], distances[number], strict=True)
            ],
        )
        for number, sample in enumerate(samples)
    ]
    return Neighbours(rows, most, train.size, step, float(np.median(distances[len(samples) :, 0])))


def nearest_in_parts(
    queries: Pixels, split: Split, parts: list[np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distances, of pixels in [0, 1], and positions of the nearest examples, (n, count) each; searches part by part."""
    found = []
    for places in parts:
        distances, rows = nearest(queries, flat(split.load(places)["x"]), min(count, len(places)))
        found.append((distances / 255, places[rows]))
    distances, indices = (np.concatenate(both, axis=1) for both in zip(*found, strict=True))
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(indices, order, 1)


def flat(images: Images) -> Pixels:
    """An image a row."""
    return images.reshape(len(images), -1)


def tiles(
    grid: UInt8[np.ndarray, "grid_height grid_width channels"], shape: tuple[int, ...], count: int
) -> Images | None:
    """The images that `image_grid` made a grid of; None if this is not a grid of so many of such a shape."""
    height, width, channels = shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    small = rows * (height + 1) + 1, columns * (width + 1) + 1
    factor = grid.shape[0] // small[0]
    if grid.shape != (factor * small[0], factor * small[1], channels):
        return None
    cells = grid[::factor, ::factor][1:, 1:].reshape(rows, height + 1, columns, width + 1, channels)
    return cells[:, :-1, :, :-1].swapaxes(1, 2).reshape(-1, height, width, channels)[:count]
