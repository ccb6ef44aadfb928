"""Escape text that others wrote, before it is shown."""

from __future__ import annotations


def escape_controls(text: str, keep: str = "") -> str:
    """Return text that cannot control a terminal: a character that is not printable becomes its escape sequence.

    Control characters, C1 (0x80 to 0x9f) and the marks that turn the direction of text (bidi) are not printable.
    """
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)
