"""Pieces of HTML for notebooks: coloured tokens, heat maps, bars and tables, with nothing to load and nothing to run.

A colour is a transparent layer over the page's own background, and text keeps the page's own colour, so a figure reads
in light and in dark without asking which it is. Whatever comes from a model or a text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from glassformer.introspect.errors import IntrospectionError

Numbers = npt.NDArray[np.floating] | npt.NDArray[np.integer]

ABOVE, BELOW = "225,105,20", "50,115,235"  # orange and blue, told apart by people who confuse red and green
STRONGEST = 0.7  # opacity at which text in black or in white can still be read
LONGEST = 26  # letters of a row's name
CELLS = 64  # of a side of a heat map; larger matrices are drawn in blocks
FONT = "font-family:ui-monospace,monospace;font-size:13px"


def joined(*parts: str) -> str:
    """Several figures below one another."""
    return f"<div>{''.join(parts)}</div>"


def figure(label: str, content: str) -> str:
    """Content with the words that say what it is, to the eye and to a screen reader."""
    said = escape(label)
    return (
        f'<figure role="group" aria-label="{said}" style="margin:0.5em 0">'
        f'<figcaption style="font-size:90%;margin-bottom:0.3em">{said}</figcaption>{content}</figure>'
    )


def shown(text: str) -> str:
    """A token's text, escaped, its line breaks and tabs as signs: an empty line is otherwise not seen."""
    return escape(text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍"))


def number(value: object) -> str:
    """A value as it is shown: numbers in four digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}"
    return str(value)


def colour(value: float | None, low: float, high: float) -> str:
    """The layer for a value: orange from zero (or `low`, where that is above) to `high`, blue from zero to `low`."""
    if value is None or not math.isfinite(value):
        return "transparent"
    start = max(low, 0.0)
    reach, hue = (high - start, ABOVE) if value >= start else (-low, BELOW)
    share = abs(value - start) / reach if reach > 0 else 0.0
    return f"rgba({hue},{STRONGEST * min(share, 1.0):.3f})"


def bounds(values: Sequence[float | None], low: float | None, high: float | None) -> tuple[float, float]:
    """The values that get the strongest colours, where they are not given: as far from zero to both sides."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    top = max(finite, default=0.0) if high is None else high
    bottom = min([0.0, *finite]) if low is None else low
    if bottom < 0 and low is None and high is None:
        top = max(top, -bottom)
        bottom = -top
    return bottom, top


def coloured_tokens(
    tokens: Sequence[str],
    values: Sequence[float | None],
    *,
    label: str,
    titles: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """A text whose tokens are coloured by a number each.

    Args:
        tokens: [tokens] texts.
        values: [tokens]; None leaves a token without colour.
        label: what the colours mean.
        titles: [tokens] what a pointer over a token shows; None: the token and its number.
        low, high: values of the strongest colours; None: those of the values.

    Raises:
        IntrospectionError: if there is not one value, and one title, for each token.
    """
    if titles is None:
        titles = [f"{token!r}: {number(value)}" for token, value in zip(tokens, values, strict=False)]
    same_length(tokens=tokens, values=values, titles=titles)
    bottom, top = bounds(values, low, high)
    spans = [
        f'<span title="{escape(title)}" style="background:{colour(value, bottom, top)};border-radius:2px">'
        f"{shown(token)}</span>" + ("<br>" if token.endswith("\n") else "")
        for token, value, title in zip(tokens, values, titles, strict=True)
    ]
    return figure(label, f'<div style="{FONT};white-space:pre-wrap;line-height:1.8">{"".join(spans)}</div>')


def same_length(**several: Sequence[object]) -> None:
    """Refuse sequences that do not go together."""
    lengths = {name: len(each) for name, each in several.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise IntrospectionError(f"there are {found}; give one for each")


def heatmap(
    matrix: Numbers,
    *,
    label: str,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    row_name: str = "row",
    column_name: str = "column",
    low: float | None = None,
    high: float | None = None,
    texts: Sequence[Sequence[str]] | None = None,
) -> str:
    """A matrix as coloured cells, whose numbers a pointer shows.

    Args:
        matrix: [rows, columns]; what is not finite stays empty.
        label: what it is.
        rows, columns: names; None: numbers from 0.
        row_name, column_name: what rows and columns are.
        low, high: values of the strongest colours; None: those of the matrix.
        texts: [rows][columns] what is written into the cells.

    A side of more than `CELLS` is drawn in blocks, each with its value furthest from zero.

    Raises:
        IntrospectionError: for an array of other than two axes, or names that are not one for each row and column.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2:
        raise IntrospectionError(f"a heat map shows an array of two axes; found shape {matrix.shape}")
    rows = [str(i) for i in range(matrix.shape[0])] if rows is None else list(rows)
    columns = [str(i) for i in range(matrix.shape[1])] if columns is None else list(columns)
    same_length(rows=matrix.tolist(), names_of_rows=rows)
    same_length(columns=matrix.T.tolist(), names_of_columns=columns)
    if max(matrix.shape) > CELLS:
        size = max(-(-side // CELLS) for side in matrix.shape)
        matrix, texts = blocks(matrix, size), None
        rows, columns = ranges(rows, size), ranges(columns, size)
        label += f" (blocks of {size} x {size}, each by its value furthest from zero)"
    cells = Cells(matrix, rows, columns, (row_name, column_name), bounds(matrix.ravel().tolist(), low, high), texts)
    return figure(label, cells.svg(label))


def blocks(matrix: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """Of each block [size, size] the value furthest from zero, NaN where none is finite."""
    height, width = (-(-side // size) for side in matrix.shape)
    padded = np.full((height * size, width * size), np.nan)
    padded[: matrix.shape[0], : matrix.shape[1]] = np.where(np.isfinite(matrix), matrix, np.nan)
    tiles = padded.reshape(height, size, width, size).swapaxes(1, 2).reshape(height, width, size * size)
    furthest = np.where(np.isnan(tiles), -1.0, np.abs(tiles)).argmax(-1)
    return np.take_along_axis(tiles, furthest[..., None], -1)[..., 0]


def ranges(names: Sequence[str], size: int) -> list[str]:
    """The names of blocks of rows or columns: the first to the last."""
    groups = [names[i : i + size] for i in range(0, len(names), size)]
    return [group[0] if len(group) == 1 else f"{group[0]} … {group[-1]}" for group in groups]


class Cells:
    """The drawing of a matrix: a grid of rectangles with names beside and below it."""

    def __init__(
        self,
        matrix: npt.NDArray[np.float64],
        rows: Sequence[str],
        columns: Sequence[str],
        names: tuple[str, str],
        bounds: tuple[float, float],
        texts: Sequence[Sequence[str]] | None,
    ) -> None:
        self.matrix, self.rows, self.columns, self.names = matrix, rows, columns, names
        self.bounds, self.texts = bounds, texts
        self.width = 72 if texts else 16 if max(matrix.shape) <= 32 else 9
        self.height = 18 if texts else self.width
        self.left = 8 + 7 * min(LONGEST, max(map(len, rows), default=0))
        self.below = 8 + 7 * min(12, max(map(len, columns), default=0))

    def svg(self, label: str) -> str:
        """The whole drawing."""
        width = self.left + self.width * len(self.columns) + 8
        height = self.height * len(self.rows) + self.below
        return (
            f'<div style="overflow-x:auto"><svg role="img" aria-label="{escape(label)}" width="{width}" '
            f'height="{height}" style="{FONT};font-size:11px" fill="currentColor">'
            f'<g stroke="currentColor" stroke-opacity="0.15" stroke-width="0.5">{"".join(self.cells())}</g>'
            f'<g pointer-events="none">{"".join(self.inside())}</g>{"".join(self.sides())}</svg></div>'
        )

    def cells(self) -> Iterator[str]:
        """A rectangle for each number."""
        low, high = self.bounds
        size = f'width="{self.width}" height="{self.height}"'
        for i, row in enumerate(self.matrix.tolist()):
            for j, value in enumerate(row):
                text = "" if self.texts is None else self.texts[i][j]
                said = f"{self.names[0]} {self.rows[i]}, {self.names[1]} {self.columns[j]}: {text and text + ' '}"
                yield (
                    f'<rect x="{self.left + j * self.width}" y="{i * self.height}" {size} '
                    f'fill="{colour(value, low, high)}"><title>{escape(said)}{value:.4g}</title></rect>'
                )

    def inside(self) -> Iterator[str]:
        """The texts of cells."""
        for i, row in enumerate(self.texts or ()):
            for j, text in enumerate(row):
                x, y = self.left + j * self.width + 4, i * self.height + 13
                yield f'<text x="{x}" y="{y}">{shown(cut(text, 9))}</text>'

    def sides(self) -> Iterator[str]:
        """The names of rows and columns, as many as there is room for."""
        every = 1 if self.height >= 11 else 2
        for i, name in enumerate(self.rows[::every]):
            y = every * i * self.height + self.height * 0.5 + 4
            yield f'<text x="{self.left - 4}" y="{y:g}" text-anchor="end">{shown(cut(name, LONGEST))}</text>'
        every = 1 if self.width >= 11 else 2
        for j, name in enumerate(self.columns[::every]):
            x, y = self.left + every * j * self.width + self.width * 0.5 + 4, self.height * len(self.rows) + 6
            yield (
                f'<text x="{x:g}" y="{y}" text-anchor="end" transform="rotate(-90 {x:g} {y})">'
                f"{shown(cut(name, 12))}</text>"
            )


def cut(text: str, most: int) -> str:
    """A text of so many characters at most."""
    return text if len(text) <= most else text[: most - 1] + "…"


def bar_list(names: Sequence[str], values: Sequence[float], *, label: str, unit: str = "", most: int = 40) -> str:
    """Numbers as bars from zero to the left and right.

    Args:
        names, values: [bars].
        label: what they are.
        unit: of the values.
        most: bars that are shown; a last line counts the others.

    Raises:
        IntrospectionError: if there is not one value for each name.
    """
    same_length(names=names, values=values)
    low, high = bounds(list(values[:most]), None, None)
    span = high - low or 1.0
    lines = [
        f'<tr><th scope="row" style="text-align:left;font-weight:normal">{shown(name)}</th>'
        f'<td style="width:240px">{bar(value, low, high, span)}</td>'
        f'<td style="text-align:right">{number(float(value))}{escape(unit and " " + unit)}</td></tr>'
        for name, value in zip(names[:most], values[:most], strict=True)
    ]
    if len(names) > most:
        lines.append(f'<tr><td colspan="3">and {len(names) - most:,} more</td></tr>')
    return figure(label, f'<table style="{FONT};border-collapse:collapse">{"".join(lines)}</table>')


def bar(value: float, low: float, high: float, span: float) -> str:
    """One bar, its place and length in percent of the column."""
    if not math.isfinite(value):
        return ""
    left, length = (min(value, 0.0) - low) / span, abs(value) / span
    style = f"margin-left:{100 * left:.1f}%;width:{100 * length:.1f}%;background:{colour(value, low, high)}"
    return f'<div style="{style};height:0.9em"></div>'


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, label: str, most: int = 100) -> str:
    """A plain table.

    Args:
        columns: names.
        rows: of values, one for each column; numbers stand to the right.
        label: what it is.
        most: rows that are shown; a last line counts the others.
    """
    head = "".join(f'<th scope="col" style="text-align:left;padding:0 0.6em">{escape(name)}</th>' for name in columns)
    lines = ["<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows[:most]]
    if len(rows) > most:
        lines.append(f'<tr><td colspan="{len(columns)}">and {len(rows) - most:,} more</td></tr>')
    return figure(label, f'<table style="{FONT}"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>')


def cell(value: object) -> str:
    """A cell of a table."""
    side = "right" if isinstance(value, int | float | np.number) else "left"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else number(value)
    return f'<td style="text-align:{side};padding:0 0.6em">{shown(text)}</td>'
