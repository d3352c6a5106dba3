"""Tables and plots as text: readable at 80 columns, and without colours where there is no terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from string import ascii_lowercase

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2  # between two columns
WIDEST_LABEL = 28  # where there is not enough room for all columns
NARROWEST_LABEL = 20  # where that makes room for all columns
LEAST_LABEL = 16  # in any case
PLOT_HEIGHT = 18
COLOURS = ("cyan", "magenta", "green", "red", "blue")  # of those that rich and plotext call alike


@dataclass(frozen=True)
class Line:
    """A line of a plot, and what the legend says of it."""

    name: str
    x: Sequence[int]
    y: Sequence[float]


def print_table(console: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table; where it is too wide, in several, one below the other, each with the first column.

    Args:
      console: where.
      head: the columns' names.
      rows: as many texts each; the first tells the rows apart, and one that ends in " *" is the best.
    """
    widths = [_width(name, [row[i] for row in rows]) for i, name in enumerate(head)]
    spare = console.width - sum(width + GAP for width in widths[1:])
    beside = console.width - max(widths[1:]) - GAP
    widths[0] = min(widths[0], spare if spare >= NARROWEST_LABEL else max(LEAST_LABEL, min(WIDEST_LABEL, beside)))
    room = console.width - widths[0]
    # Of a column that fits nowhere the cells are broken.
    widths[1:] = [min(width, room - GAP) for width in widths[1:]]
    for chosen in _fitting(widths[1:], room):
        table = Table(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold"
        )
        columns = [0, *(1 + i for i in chosen)]
        for i in columns:
            name = Text(_wrapped(head[i], widths[i]))
            table.add_column(name, width=widths[i], overflow="fold", justify="right" if i else "left")
        for row in rows:
            texts = [_wrapped(row[0], widths[0], indent="  "), *(row[i] for i in columns[1:])]
            table.add_row(*(Text(text, style="bold" if text.endswith(" *") else "") for text in texts))
        console.print(table)
        console.print()


def _wrapped(name: str, width: int, indent: str = "") -> str:
    """In lines that are broken between words, but not at a no-break space; `indent` is before those after the first."""
    lines = textwrap.wrap(name, width, subsequent_indent=indent, break_on_hyphens=False)
    return "\n".join(lines).replace("\u00a0", " ")


def _width(name: str, cells: Sequence[str]) -> int:
    """Wide enough for each cell, and for a name that is broken between words, of which it may take several lines."""
    return max([*map(len, cells), *map(len, name.split(" ")), min(len(name), 14)])


def _fitting(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Columns that fit side by side; at least one at a time."""
    chosen: list[int] = []
    used = 0
    for i, width in enumerate(widths):
        if chosen and used + width + GAP > room:
            yield chosen
            chosen, used = [], 0
        chosen.append(i)
        used += width + GAP
    yield chosen


def print_plot(console: Console, title: str, lines: Sequence[Line]) -> None:
    """Prints lines over steps, and a legend."""
    import plotext

    coloured = console.is_terminal and console.color_system is not None
    keys = ["──" if coloured else letter for letter in islice(cycle(ascii_lowercase), len(lines))]
    plotext.clear_figure()
    plotext.plotsize(console.width, PLOT_HEIGHT)
    plotext.theme("clear")
    for line, key, colour in zip(lines, keys, cycle(COLOURS), strict=False):
        marker = "braille" if coloured or len(lines) == 1 else key
        plotext.plot(list(line.x), list(line.y), marker=marker, color=colour if coloured else None)
    steps = [x for line in lines for x in line.x]
    marks = [round(min(steps) + (max(steps) - min(steps)) * i / 4) for i in range(5)]
    plotext.xticks(marks, [f"{mark:,}" for mark in marks])
    built = plotext.build()
    plotext.clear_figure()
    console.print(Text(title, style="bold"))
    for line, key, colour in zip(lines, keys, cycle(COLOURS), strict=False):
        name = Text(line.name, overflow="ellipsis", no_wrap=True)
        console.print(Text.assemble((f"{key} ", colour if coloured else ""), name) if len(lines) > 1 else name)
    plot = Text.from_ansi(built) if coloured else Text(plotext.uncolorize(built))
    plot.rstrip()
    console.print(plot, no_wrap=True, highlight=False)


def print_notes(console: Console, notes: Sequence[str]) -> None:
    """Prints sentences, each with a dash in front of it."""
    for note in notes:
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_row("-", Text(note))
        console.print(table)
