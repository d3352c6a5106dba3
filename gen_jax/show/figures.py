"""Figures of Matplotlib as arrays of pixels: tiles on a common scale, and words that are drawn as they are."""

import math
import unicodedata
import warnings
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels = UInt8[np.ndarray, "height width 3"]

DPI = 100
# A picture has at most so many tiles: more cannot be told apart.
MOST_TILES = 36
FEW_TILES = 4
LEAST_WIDTH = 5.4  # inches
SAMPLES, REAL = "tab:blue", "tab:orange"


def blank(width: float, height: float) -> "Figure":
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI)


def drawn(figure: "Figure") -> Pixels:
    """The pixels of a figure, uint8 (height, width, 3), 100 to the inch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # A script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def tiles(
    count: int,
    columns: int | None = None,
    *,
    tile: tuple[float, float] | None = None,
    gap: tuple[float, float] = (0.08, 0.08),
    left: float = 0.6,
    top: float = 0.35,
    bottom: float = 0.65,
    shared: bool = True,
) -> tuple["Figure", list["Axes"]]:
    """A figure with axes for `count` tiles, in rows from the top left.

    Args:
      count: of tiles, 1 or more.
      columns: how many in a row; None: as square as it gets.
      tile: width and height of each, in inches; None: larger where there are only a few.
      gap: between two, in inches.
      left, top, bottom: margins, in inches, for the labels of the axes, a title and a legend.
      shared: whether all tiles have the same scales, which then stand at the left and at the bottom alone.
    """
    tile = tile or ((1.45, 1.05) if count > FEW_TILES else (2.4, 1.7))
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    needed = left + columns * (tile[0] + gap[0]) + 0.12
    # A title and a legend need room beside a single tile, which then stands in the middle.
    width = max(LEAST_WIDTH, needed)
    left += (width - needed) / 2
    height = top + bottom + rows * (tile[1] + gap[1])
    figure = blank(width, height)
    axes: list[Axes] = []
    for number in range(count):
        row, column = divmod(number, columns)
        x, y = left + column * (tile[0] + gap[0]), height - top - (row + 1) * tile[1] - row * gap[1]
        first = axes[0] if axes and shared else None
        place = (x / width, y / height, tile[0] / width, tile[1] / height)
        one = figure.add_axes(place, sharex=first, sharey=first)
        lowest = number + columns >= count
        one.tick_params(
            labelsize=7, length=2, pad=2, labelleft=not shared or column == 0, labelbottom=not shared or lowest
        )
        axes.append(one)
    return figure, axes


def title(figure: "Figure", text: str) -> None:
    """A line above all tiles."""
    height = figure.get_figheight()
    figure.text(0.5, 1 - 0.17 / height, plain(text, 200), ha="center", va="center", fontsize=9)


def legend(figure: "Figure", axes: "Axes", columns: int) -> None:
    """What the colours are, below all tiles, from the labels of one of them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=min(columns, len(labels)), fontsize=8, frameon=False)


def few_of(shown: int, count: int, what: str) -> str:
    """ "9 samples", or "36 of 64 samples" where not all are shown."""
    return f"{shown:,} {what}" if shown == count else f"{shown:,} of {count:,} {what}"


def plain(text: str, most: int = 20) -> str:
    """A word of the data as Matplotlib draws it unchanged: visible, cut to so many letters, and not as a formula."""
    seen = visible(text)
    seen = seen if len(seen) <= most else seen[: most - 1] + "…"
    return seen.replace("$", r"\$")


def visible(text: str) -> str:
    r"""The text with what cannot be seen written out: "\n" as "↵", other control characters as Python writes them."""
    return "".join("↵" if letter == "\n" else _visible(letter) for letter in text)


def _visible(letter: str) -> str:
    # Control characters, halves of surrogates, and what only changes how others look.
    return repr(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn") else letter
