"""Pictures of samples: a grid of images, or a scatter plot of points."""

import io
import math

import numpy as np
from etils import epath


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
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), 128, np.uint8)
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


def picture(samples: np.ndarray, centres: np.ndarray | None = None) -> np.ndarray:
    """A grid of images, or a scatter plot of points, as uint8 (height, width, channels)."""
    if samples.ndim == 4:
        return image_grid(samples)
    return scatter_plot(samples, centres)


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
