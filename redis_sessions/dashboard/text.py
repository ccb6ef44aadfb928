"""Texts as a page shows them: nothing in them can hide, turn direction, or take all the room."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters, marks that turn the direction of text, and characters without a shape. Joiners of emoji stay."""
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_END = 12
"""Characters of the end of an ID, in which the IDs of one agent differ."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, indent=2, default=str)
CUT = 200
"""Characters of a name, a reason or an error that a table shows."""


def show_hidden(text: str) -> str:
    """Return text in which each character that controls or hides something is written as its escape, such as \\x1b."""
    text = text.replace("\r\n", "\n")
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def finalize(value: Any) -> Any:
    """Return a value that a template prints: None as nothing, and text with its hidden characters shown."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) or not isinstance(value, str) else show_hidden(value)


def shorten(value: Any, width: int = CUT) -> str:
    """Return text of at most `width` characters. The middle of a longer text is left out."""
    text = "" if value is None else str(value)
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def short_id(id: str | None, width: int = 28) -> str:
    """Return an ID for a narrow column: its beginning, and the end in which IDs of one agent differ."""
    return begin_of(id, width) + end_of(id, width)


def begin_of(id: str | None, width: int = 28) -> str:
    """Return the beginning of an ID for a narrow column, with '…' if an end follows."""
    text = id or ""
    return text if len(text) <= width else f"{text[: width - _END - 1]}…"


def end_of(id: str | None, width: int = 28) -> str:
    """Return the end of an ID for a narrow column, '' if the beginning is the whole ID."""
    text = id or ""
    return "" if len(text) <= width else text[-_END:]


def code(value: str) -> Markup:
    """Return text whose parts between backticks are marked as code. All of it is escaped."""
    parts = show_hidden(value).split("`")
    if len(parts) % 2 == 0:
        return escape(show_hidden(value))
    return Markup("").join(Markup("<code>{}</code>").format(one) if at % 2 else one for at, one in enumerate(parts))


def as_json(value: Any, room: int) -> str:
    """Return the first `room` characters of a JSON value as indented text, with '…' if more follow.

    Only they are made, because a deep value has hundreds of times more characters with indents than without.
    """
    chunks, length = list[str](), 0
    for chunk in _ENCODER.iterencode(value):
        chunks.append(chunk)
        length += len(chunk)
        if length > room:
            return f"{''.join(chunks)[:room]}…"
    return "".join(chunks)


def span(value: float | timedelta | None) -> str:
    """Return a time in the two largest units that a person needs: 0.4 s, 12 s, 5 min 3 s, 2 h 5 min."""
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    left = int(seconds)
    words: list[str] = []
    for unit, size in _UNITS:
        if left >= size and len(words) < 2:
            words.append(f"{left // size} {unit}")
            left %= size
        elif words:
            break
    return " ".join(words)


def clock(value: datetime | None) -> str:
    """Return a time of the day (UTC)."""
    return "" if value is None else f"{value:%H:%M:%S}"


def moment(value: datetime | None) -> str:
    """Return a date and a time (UTC)."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"


def when(value: datetime | None, now: datetime) -> str:
    """Return a time of the day (UTC), with the date unless it is that of `now`."""
    if value is None:
        return ""
    return clock(value) if value.date() == now.date() else moment(value)


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with separators, or '–' for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def size(value: float | None) -> str:
    """Return a number of bytes in a unit that a person reads easily."""
    if value is None:
        return "–"
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1024 or unit == "GB":
            break
        value /= 1024
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
