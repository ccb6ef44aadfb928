"""Parse the lines of an import strictly: no key twice, whole numbers only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from .import_schema import Damaged

_BOM = b"\xef\xbb\xbf"


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Damaged("names a key twice")
    return found


def _whole(text: str) -> int:
    if len(text) > 16:
        raise Damaged(f"has a number of {len(text)} digits, expected at most 16")
    return int(text)


def _no_number(text: str) -> NoReturn:
    raise Damaged(f"has the number {text[:30]}, expected a whole number")


decode_line = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_whole, parse_float=_no_number, parse_constant=_no_number
).decode


def reason_of(line: object) -> str:
    """Return what is known of a line that is not JSON, as the end of an error."""
    if isinstance(line, bytes) and line.startswith(_BOM):
        return ", or saved with a byte order mark: save it as UTF-8 without the mark"
    if isinstance(line, bytes) and (line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line):
        return ", or is not UTF-8"
    return ""
