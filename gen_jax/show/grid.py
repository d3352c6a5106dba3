"""Pictures of samples, each by its kind: a grid of images, a scatter plot of points, plots, text."""

import io
import math

import numpy as np
from etils import epath

from gen_jax.data import Dataset, Field
from gen_jax.show import plots, text

LINE = 128
"""The grey level between images."""
COMPARED = ("table", "label")
"""Kinds whose samples are shown together, as a distribution, beside that of real examples."""
MOST_REAL = 1000
# A table of so many rows is read; of more, it is how they are distributed that can be seen.
FEW_ROWS = 20


def image_grid(images: np.ndarray, columns: int | None = None, least_side: int = 512) -> np.ndarray:
    """Tiles images with a line of one pixel between them.

    Args:
      images: uint8 (n, height, width, 1 or 3).
      columns: how many in a row; None: as square as it gets.
      least_side: small grids are enlarged by a whole factor until their longer side is at least this, in pixels.

    Returns:
      uint8 (height, width, 1 or 3).
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), LINE, np.uint8)
    for i, image in enumerate(images):
        top, left = 1 + i // columns * (height + 1), 1 + i % columns * (width + 1)
        grid[top : top + height, left : left + width] = image
    factor = math.ceil(least_side / max(grid.shape[:2]))
    return grid.repeat(factor, axis=0).repeat(factor, axis=1)


def scatter_plot(points: np.ndarray, centres: np.ndarray | None = None) -> np.ndarray:
    """Plots points (n, 2), and the centres (modes, 2) of the mixture that they should come from, as uint8 RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.12, 5.12), dpi=100)
    canvas = FigureCanvasAgg(figure)
    # A fixed place: to find the best one takes Matplotlib longer than all the rest.
    axes = figure.add_axes((0.13, 0.13, 0.85, 0.85), aspect="equal")
    axes.tick_params(labelsize="small")
    if centres is not None:
        axes.scatter(
            centres[:, 0], centres[:, 1], s=120, facecolors="none", edgecolors="tab:red", linewidths=0.8, label="modes"
        )
    axes.scatter(points[:, 0], points[:, 1], s=4, alpha=0.5, linewidths=0, label="samples")
    # Below the plot: inside, it would hide a mode.
    figure.legend(loc="lower center", ncols=2, fontsize="small")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def image_pairs(first: np.ndarray, second: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Pairs of images, a pair a column: the second of each below the first.

    Args:
      first, second: uint8 (n, height, width, 1 or 3); of two sizes the smaller is centred.
      columns: how many pairs in a row; None: as square as it gets.

    Returns:
      uint8 (height, width, 1 or 3).
    """
    channels, width = max(first.shape[3], second.shape[3]), max(first.shape[2], second.shape[2])
    tops, below = _widened(first, width, channels), _widened(second, width, channels)
    line = np.full((len(tops), 1, width, channels), LINE, np.uint8)
    # Two pairs stand further apart than the images of one.
    return image_grid(np.concatenate([line, tops, line, below, line], axis=1), columns)


def picture(
    samples: np.ndarray,
    field: Field,
    real: np.ndarray | None = None,
    centres: np.ndarray | None = None,
    columns: int | None = None,
) -> np.ndarray:
    """Samples as a person sees them, by their kind, as uint8 (height, width, 1 or 3).

    Args:
      samples: (n, ...), n at least 1.
      field: what they are.
      real: (m, ...), real examples to compare with; columns of tables and labels are shown beside theirs.
      centres: (modes, 2), of the mixture that points should come from.
      columns: how many in a row, where each sample is a tile; None: as square as it gets.
    """
    names = field.names
    match field.kind:
        case "image":
            return image_grid(samples, columns)
        case "points":
            return scatter_plot(samples, centres)
        case "series":
            return plots.line_plots(samples, names, columns)
        case "audio":
            return plots.waveforms(samples, columns)
        case "tokens":
            return text.token_lines(samples, names)
        case "table" if len(samples) < FEW_ROWS:
            return text.table_rows(samples, names)
        case "table":
            return plots.histograms(samples, names, real)
        case "label":
            return plots.class_bars(samples, field.classes, real)
        case "attributes":
            return plots.attribute_table(samples, names)
        case "codes":
            return plots.code_maps(samples, columns)


def compared(dataset: Dataset) -> np.ndarray | None:
    """The held-out examples that samples are shown beside, at most 1,000; None where a picture shows none."""
    if dataset.kind not in COMPARED:
        return None
    return dataset.test.load(np.arange(min(dataset.test.size, MOST_REAL)))["x"]


def samples_for(field: Field, tiles: int) -> int:
    """How many samples make a picture that has `tiles` of them where each is a tile: more where each is a point."""
    return tiles * (32 if field.kind in ("points", *COMPARED) else 1)


def _widened(images: np.ndarray, width: int, channels: int) -> np.ndarray:
    """The images in the middle of a grey band of such a width; grey ones in colour, where asked."""
    left = (width - images.shape[2]) // 2
    margins = ((0, 0), (0, 0), (left, width - images.shape[2] - left), (0, 0))
    widened = np.pad(images, margins, constant_values=LINE)
    return np.broadcast_to(widened, (*widened.shape[:3], channels))


def write_png(path: epath.PathLike, picture: np.ndarray) -> None:
    """Writes uint8 (height, width, 1 or 3) at once: a kill leaves no half of a picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)
