"""Plain output: ASCII, where standard output cannot show UTF-8."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

CUT = "\u2026"
"""The mark of a text that was cut. Plain output has '~' in its place, and commands take both in a short ID."""
PLAIN_CUT = "~"
_MARKS = str.maketrans(
    {
        CUT: PLAIN_CUT, "·": "-", "●": "*", "‖": "=", "✔": "+", "✘": "x", "⊘": "o", "⧖": "t", "×": "x", "→": ">", "◌": "o",
        "↑": "^", "↓": "v", "▲": "^", "▼": "v", "▸": ">", "─": "-", "│": "|", "└": "`", "├": "+", "┌": "+", "┐": "+", "┘": "+",
        "╭": "+", "╮": "+", "╯": "+", "╰": "+", "━": "-", "╸": "-", "╺": "-", "\xa0": " ",
    }
)  # fmt: skip
"""One ASCII character for each mark that commands print, so that columns stay as wide as they are."""


def is_plain() -> bool:
    """Return whether standard output takes ASCII only."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return not encoding.lower().startswith("utf")


def plain_marks(text: str) -> str:
    """Return text with the marks of commands in ASCII. Other characters stay."""
    return text.translate(_MARKS)


def use_plain_output(environment: Mapping[str, str] = os.environ) -> None:
    """Let both outputs take ASCII only if the locale is C or POSIX, and never fail at a character.

    Python itself writes UTF-8 in these locales. It sets LC_CTYPE to C.UTF-8 where that was not set.
    """
    chosen = environment.get("LC_ALL") or environment.get("LANG") or ""
    coerced = environment.get("LC_CTYPE", "") in ("", "C", "POSIX", "C.UTF-8", "C.utf8", "UTF-8")
    asks_utf8 = environment.get("PYTHONIOENCODING") or environment.get("PYTHONUTF8") == "1"
    encoding = "ascii" if chosen in ("C", "POSIX") and coerced and not asks_utf8 else None
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
