"""Tables that fit into a number of columns: IDs and numbers stay whole, and names are shortened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from .app import shorten
from .plain import CUT

GAP = 2
"""Columns of space between two columns of a table."""
Cell = str | tuple[str, str]
"""A text, or a text with its style."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    head: str
    """Its heading, which is never cut."""
    is_right: bool = False
    """True for numbers, which end at the same place."""
    least: int | None = None
    """The width to which its texts may be shortened. None if they stay whole."""
    keeps_end: bool = True
    """True if a shortened text keeps its beginning and its end, else it keeps its beginning."""


def text_of(cell: Cell) -> str:
    """Return the text of a cell."""
    return cell if isinstance(cell, str) else cell[0]


def widths_of(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
    """Return the width of each column if no text is shortened."""
    return [
        max([cell_len(column.head), *(cell_len(text_of(row[at])) for row in rows)]) for at, column in enumerate(columns)
    ]


def total_width(widths: Sequence[int]) -> int:
    """Return the width of a table whose columns have these widths."""
    return sum(widths) + GAP * (len(widths) - 1)


def fitted_widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], room: int | None) -> list[int]:
    """Return the widths with which a table fits into `room`, or None for any room. The widest column is shortened first."""
    widths = widths_of(columns, rows)
    if room is None:
        return widths
    least = [
        width if column.least is None else min(width, max(column.least, cell_len(column.head)))
        for column, width in zip(columns, widths, strict=True)
    ]
    over = total_width(widths) - room
    while over > 0:
        spare = [width - low for width, low in zip(widths, least, strict=True)]
        if not any(spare):
            break
        at = max(range(len(widths)), key=lambda one: (spare[one] > 0, widths[one]))
        step = (
            min(over, spare[at], max(widths[at] - sorted(widths)[-2], 1)) if len(widths) > 1 else min(over, spare[at])
        )
        widths[at] -= step
        over -= step
    return widths


def table_line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[Cell], style: str = "") -> Text:
    """Return one line of a table."""
    line = Text(style=style, no_wrap=True)
    for at, (column, width, cell) in enumerate(zip(columns, widths, row, strict=True)):
        text, own_style = (cell, "") if isinstance(cell, str) else cell
        is_last = at == len(columns) - 1
        shown = fit(text, width, keeps_end=column.keeps_end)
        pad = " " * (width - cell_len(shown))
        if column.is_right:
            line.append(pad)
            line.append(shown, own_style)
        else:
            line.append(shown, own_style)
            line.append("" if is_last else pad)
        line.append("" if is_last else " " * GAP)
    return line


def fit(text: str, width: int, *, keeps_end: bool = False) -> str:
    """Return text of at most `width` columns on the screen."""
    if cell_len(text) <= width:
        return text
    if keeps_end and text.isascii():
        return shorten(text, width)
    return set_cell_size(text, max(width - 1, 0)).rstrip() + CUT


def table_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], room: int | None, details: Sequence[str] = ()
) -> list[Text]:
    """Return a table, its heading first.

    Args:
        columns: the columns.
        rows: the cells of each row.
        room: columns of the screen. None for a table that is not cut.
        details: one more line below each row, cut at `room`. '' for none.
    """
    widths = fitted_widths(columns, rows, room)
    lines = [table_line(columns, widths, [column.head for column in columns], "bold")]
    for at, row in enumerate(rows):
        lines.append(table_line(columns, widths, row))
        if details and details[at]:
            detail = details[at] if room is None else fit(details[at], room - 2)
            lines.append(Text(f"  {detail}", style="dim", no_wrap=True))
    return lines
