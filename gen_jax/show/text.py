"""Samples that are read: sequences of words, and the first rows of a table."""

import textwrap
import unicodedata

import numpy as np
from jaxtyping import Float, Int

from gen_jax.show.figures import Pixels, blank, drawn, few_of, plain, visible

# Letters in a line, lines in a picture, and lines of one sample.
WIDTH = 108
MOST_LINES = 40
MOST_OF_SAMPLE = 3
LINE_HEIGHT = 0.18  # inches
# Columns of a table, each of so many letters.
MOST_COLUMNS = 9
COLUMN = 12
MOST_ROWS = 20


def token_lines(tokens: Int[np.ndarray, "n length"], names: tuple[str, ...] | None = None) -> Pixels:
    """Each sequence as a line of text, or two or three; numbers where words have no names.

    Words are joined by spaces; letters, where most names are single ones, by nothing.
    """
    lines: list[str] = []
    shown = 0
    for number, row in enumerate(tokens.tolist(), start=1):
        paragraph = _wrapped(sentence(row, names), number)
        if len(lines) + len(paragraph) > MOST_LINES:
            break
        lines += paragraph
        shown = number
    return lines_of_text([few_of(shown, len(tokens), "samples"), "", *lines])


def sentence(tokens: list[int], names: tuple[str, ...] | None) -> str:
    """A sequence of words as one string. A number that no word has is written as "<7>"."""
    if names is None:
        return " ".join(map(str, tokens))
    letters = sum(len(name) == 1 for name in names) > len(names) / 2
    words = [names[token] if 0 <= token < len(names) else f"<{token}>" for token in tokens]
    return ("" if letters else " ").join(words)


def table_rows(rows: Float[np.ndarray, "n columns"], names: tuple[str, ...] | None = None) -> Pixels:
    """The first rows of a table, under the names of its columns; at most 20 rows and 9 columns."""
    count, columns = rows.shape
    shown, seen = min(count, MOST_ROWS), min(columns, MOST_COLUMNS)
    heads = [f"column {number}" if names is None else names[number] for number in range(seen)]
    lines = ["".join(_cell(_cut(head)) for head in heads)]
    lines += ["".join(_cell(f"{value:.4g}") for value in row[:seen]) for row in rows[:shown]]
    about = f"{few_of(shown, count, 'samples')}, {few_of(seen, columns, 'columns')}"
    return lines_of_text([about, "", *lines])


def lines_of_text(lines: list[str]) -> Pixels:
    """Lines of at most 108 letters, in letters of one width, the first one above the others."""
    height = 0.3 + LINE_HEIGHT * len(lines)
    figure = blank(9.0, height)
    for number, line in enumerate(lines):
        y = 1 - (0.15 + LINE_HEIGHT * number) / height
        weight = "bold" if number == 0 else "normal"
        figure.text(0.018, y, plain(line, WIDTH + 8), family="monospace", fontsize=9, va="top", fontweight=weight)
    return drawn(figure)


def _wrapped(text: str, number: int) -> list[str]:
    """The lines of a sample, which begin with its number; a long one is cut."""
    text = visible(text)
    # Letters of East Asian scripts take the room of two.
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    width = (WIDTH - 6) // 2 if wide else WIDTH - 6
    wrapped = textwrap.wrap(text, width, max_lines=MOST_OF_SAMPLE, placeholder=" …")
    heads = [str(number), *[""] * len(wrapped)]
    return [f"{head:>4}  {line}" for head, line in zip(heads, wrapped or [""], strict=False)]


def _cut(name: str) -> str:
    return name if len(name) < COLUMN else name[: COLUMN - 2] + "…"


def _cell(text: str) -> str:
    return text.rjust(COLUMN)
