"""Texts that are shown: what others wrote is escaped, and numbers have their nouns."""

from __future__ import annotations


def escape_controls(text: str, keep: str = "", *, ascii_only: bool = False) -> str:
    """Return text that cannot control a terminal: a character that is not printable becomes its escape sequence.

    Control characters, C1 (0x80 to 0x9f) and the marks that turn the direction of text (bidi) are not printable. With
    `ascii_only` no character beyond ASCII is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one if (one.isprintable() and (one.isascii() or not ascii_only)) or one in keep else ascii(one)[1:-1]
        for one in text
    )


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: 1 message, 2 messages."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def error_text(problem: BaseException) -> str:
    """Return the text of an error, and a note in its place if the error cannot say it, because a caller's own class may raise."""
    try:
        return str(problem)
    except Exception as raised:
        return f"its text cannot be shown, because __str__ raised {type(raised).__name__}"
