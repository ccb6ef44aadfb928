"""Small pieces of Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), ["---"] * len(list(head)), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    """Return text as inline code."""
    return f"`{text}`"


def one_line(text: str) -> str:
    """Return text with all white space as single spaces."""
    return " ".join(text.split())


def prose(text: str) -> str:
    """Return text of a comment or docstring on one line, with its quoted forms as code and `<` escaped."""
    text = re.sub(
        r"(?<!\w)'([^' ][^']*|)'(?!\w)",
        lambda found: f"`{found[1]}`" if "`" not in found[1] else found[0],
        one_line(text),
    )
    parts = re.split(r"(`[^`]+`)", text.replace("``", "an empty text"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def wrapped(text: str, mark: str = "") -> str:
    """Return prose in lines of at most 120 characters. `mark` begins the first line, such as '- ' of a list item."""
    return textwrap.fill(
        text,
        120,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
