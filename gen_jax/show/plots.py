"""Samples that are numbers as plots: time series, sounds, columns of a table, classes, attributes and codes."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, Int, Num

from gen_jax.show.figures import MOST_TILES, REAL, SAMPLES, Pixels, drawn, few_of, legend, plain, tiles, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A sound is drawn as the lowest and the highest of its samples in each of so many stretches.
STRETCHES = 300
BINS = 30
# As many as can be named side by side.
MOST_NAMES = 40
MOST_CLASSES = 30
MOST_ROWS = 32


def line_plots(
    series: Float[np.ndarray, "n length channels"], names: tuple[str, ...] | None = None, columns: int | None = None
) -> Pixels:
    """A small plot for each series, all on one scale, with a line for each channel; at most 36.

    Args:
      series: (n, length, channels).
      names: of the channels.
      columns: how many plots in a row; None: as square as it gets.
    """
    count, length, channels = series.shape
    shown = min(count, MOST_TILES)
    figure, axes = tiles(shown, columns)
    for one, lines in zip(axes, series, strict=False):
        for channel in range(channels):
            label = f"channel {channel}" if names is None else plain(names[channel])
            # A series of one step is a point.
            one.plot(lines[:, channel], linewidth=0.9, marker="." if length == 1 else "", label=label)
    title(figure, f"{few_of(shown, count, 'samples')}, {length:,} steps each")
    if channels > 1 or names is not None:
        legend(figure, axes[0], 6)
    return drawn(figure)


def waveforms(sounds: Float[np.ndarray, "n samples"], columns: int | None = None) -> Pixels:
    """The waveform of each sound, from -1 to 1; at most 36."""
    count, length = sounds.shape
    shown = min(count, MOST_TILES)
    figure, axes = tiles(shown, columns, bottom=0.4)
    edges = np.unique(np.linspace(0, length, STRETCHES + 1).astype(int))[:-1]
    for one, sound in zip(axes, sounds, strict=False):
        low, high = np.minimum.reduceat(sound, edges), np.maximum.reduceat(sound, edges)
        one.fill_between(edges, low, high, color=SAMPLES, linewidth=0.6)
        one.set_ylim(-1.05, 1.05)
    title(figure, f"waveforms of {few_of(shown, count, 'samples')}, {length:,} values each")
    return drawn(figure)


def histograms(
    rows: Float[np.ndarray, "n columns"],
    names: tuple[str, ...] | None = None,
    real: Float[np.ndarray, "m columns"] | None = None,
) -> Pixels:
    """How the values of each column are distributed, beside those of real rows where given; at most 36 columns.

    A value beyond the range that is shown, at most three times that of the real rows, counts at its end.
    """
    columns = rows.shape[1]
    shown = min(columns, MOST_TILES)
    figure, axes = tiles(shown, gap=(0.15, 0.45), left=0.2, top=0.6, bottom=0.25, shared=False)
    for number, one in enumerate(axes):
        drawn_values, real_values = rows[:, number], None if real is None else real[:, number]
        bins = np.linspace(*_range(drawn_values, real_values), BINS + 1)
        for values, colour, label in ((real_values, REAL, "real"), (drawn_values, SAMPLES, "samples")):
            if values is not None:
                _histogram(one, values, bins, colour, label)
        one.set_title(f"column {number}" if names is None else plain(names[number]), fontsize=8, pad=3)
        one.set_yticks([])
    about = few_of(shown, columns, "columns") if shown < columns else f"{len(rows):,} samples"
    title(figure, f"{about}: how the values of each column are distributed")
    if real is not None:
        legend(figure, axes[0], 2)
    return drawn(figure)


def class_bars(
    labels: Int[np.ndarray, " n"], names: tuple[str, ...], real: Int[np.ndarray, " m"] | None = None
) -> Pixels:
    """The share of samples of each class, beside that of real examples where given; of many the most frequent 30."""
    shares, true = _shares(labels, len(names)), None if real is None else _shares(real, len(names))
    most = shares if true is None else np.maximum(shares, true)
    # A class that none has is shown too, but not what is no class.
    frequent = np.sort(np.argsort(-most[: len(names)], kind="stable")[:MOST_CLASSES])
    frequent = np.append(frequent, len(names)) if shares[-1] else frequent
    figure, (axes,) = tiles(1, tile=(4.2, max(1.0, 0.22 * len(frequent))), left=1.8, top=0.4, bottom=0.7)
    places, thickness = np.arange(len(frequent)), 0.8 if true is None else 0.4
    align: Literal["center", "edge"] = "center" if true is None else "edge"
    axes.barh(places, shares[frequent], -thickness, align=align, color=SAMPLES, label="samples")
    if true is not None:
        axes.barh(places, true[frequent], thickness, align=align, color=REAL, label="real")
        legend(figure, axes, 2)
    axes.set_yticks(places, [plain((*names, "no class")[k], 24) for k in frequent])
    axes.invert_yaxis()
    classes = few_of(min(MOST_CLASSES, len(names)), len(names), "classes")
    title(figure, f"share of each class in {len(labels):,} samples, {classes}")
    return drawn(figure)


def attribute_table(attributes: Float[np.ndarray, "n attributes"], names: tuple[str, ...] | None = None) -> Pixels:
    """A row for each sample and a column for each attribute, dark where it has it; at most 32 and 40."""
    names = tuple(map(str, range(attributes.shape[1]))) if names is None else names
    cells = attributes[:MOST_ROWS, :MOST_NAMES]
    size = (max(2.4, 0.2 * cells.shape[1]), 0.2 * len(cells))
    heads = [plain(name) for name in names[: cells.shape[1]]]
    figure, (axes,) = tiles(1, tile=size, left=0.5, top=0.5 + 0.08 * max(map(len, heads)), bottom=0.2)
    axes.imshow(cells, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(cells.shape[1]), heads, rotation=90)
    axes.tick_params(labeltop=True, labelbottom=False, top=True, bottom=False)
    axes.set_yticks(range(0, len(cells), 5))
    axes.set_ylabel("sample", fontsize=8)
    title(figure, f"{few_of(len(cells), len(attributes), 'samples')}: dark where they have the attribute")
    return drawn(figure)


def code_maps(codes: Num[np.ndarray, "n ..."], columns: int | None = None) -> Pixels:
    """Codes as colours: a row for each where a code is a list of numbers, a tile where it is a map; at most 32, 36.

    Of a map (height, width, channels) the first channel is shown.
    """
    count = len(codes)
    flat = codes.ndim < 3
    shown = min(count, MOST_ROWS if flat else MOST_TILES)
    if flat:
        maps = codes[:shown].reshape(1, shown, -1)
        figure, axes = tiles(1, tile=(5.0, max(1.5, 0.16 * shown)), bottom=0.5)
        axes[0].set_ylabel("sample", fontsize=8)
        axes[0].set_xlabel("number within the code", fontsize=8)
        axes[0].locator_params(integer=True)
    else:
        maps = codes[:shown].reshape(*codes.shape[:3], -1)[:shown, ..., 0]
        figure, axes = tiles(shown, columns, tile=(1.1, 1.1), left=0.15, bottom=0.1, shared=False)
        for one in axes:
            one.set_axis_off()
    finite = maps[np.isfinite(maps)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    for one, values in zip(axes, maps, strict=True):
        one.imshow(values, cmap="viridis", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    channel = ", the first channel" if codes.ndim > 3 else ""
    title(figure, f"codes of {few_of(shown, count, 'samples')}{channel}: dark {low:.3g}, bright {high:.3g}")
    return drawn(figure)


def _shares(labels: Int[np.ndarray, " n"], classes: int) -> Float[np.ndarray, " classes_and_none"]:
    """The share of each class, and of what is no class."""
    known = np.where((labels >= 0) & (labels < classes), labels, classes)
    return np.bincount(known, minlength=classes + 1) / max(1, len(labels))


def _range(values: Float[np.ndarray, " n"], real: Float[np.ndarray, " m"] | None) -> tuple[float, float]:
    """Where nearly all of the values lie, with a little room; not much beyond the real ones."""
    low, high = _middle(values)
    if real is not None:
        least, most = _middle(real)
        span = most - least
        low, high = max(min(low, least), least - span), min(max(high, most), most + span)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _middle(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Between which two numbers 99% of the finite values lie."""
    finite = values[np.isfinite(values)].astype(np.float64)
    return (float(np.quantile(finite, 0.005)), float(np.quantile(finite, 0.995))) if finite.size else (0.0, 0.0)


def _histogram(
    axes: "Axes", values: Float[np.ndarray, " n"], bins: Float[np.ndarray, " edges"], colour: str, label: str
) -> None:
    finite = np.clip(values[np.isfinite(values)], bins[0], bins[-1])
    weights = np.full(len(finite), 1 / max(1, len(finite)))
    axes.hist(finite, bins.tolist(), weights=weights, color=colour, alpha=0.55, label=label)
