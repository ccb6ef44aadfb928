"""Durations, whole numbers and flags: the only place that checks and converts them.

A public duration is a number of seconds, a timedelta, or text such as "90", "1.5s", "30m", "12h" or "7d". Inside the
package a duration is a whole number of milliseconds, and its name ends in `_ms`.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from .errors import InvalidInput

Duration: TypeAlias = float | timedelta | str
MAX_DURATION_MS = 100 * 365 * 24 * 3600 * 1000
MAX_DELAY_MS = 30 * 24 * 3600 * 1000
_MAX_SECONDS = 10**15
"""More than any duration has. A larger number may not fit into a float."""
_TEXT = re.compile(r"(\d+\.?\d*|\.\d+) ?(ms|s|m|h|d|w)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def milliseconds(
    duration: Duration,
    name: str,
    *,
    minimum: int = 1,
    maximum: int = MAX_DURATION_MS,
    bounds: str = "at least 1 ms and at most 100 years",
) -> int:
    """Return a duration as whole milliseconds.

    Args:
        duration: seconds, a timedelta, or text with a unit: ms, s, m, h, d or w. Text without a unit is seconds.
        name: the argument that an error names.
        minimum: the least that is allowed, in ms.
        maximum: the most that is allowed, in ms.
        bounds: the bounds as an error says them.

    Raises InvalidInput.
    """
    seconds = _seconds(duration)
    if seconds is None or not math.isfinite(seconds):
        raise InvalidInput(
            name=name, detail=f"must be seconds, a timedelta, or text such as '90s' or '7d', got {shown(duration)}"
        )
    ms = round(seconds * 1000)
    if not minimum <= ms <= maximum:
        raise InvalidInput(name=name, detail=f"must be {bounds}, got {shown(duration)}")
    return ms


def delay_milliseconds(duration: Duration, name: str) -> int:
    """Return a time for which work waits as whole milliseconds, 0 to 30 days: so long it is kept. Raises InvalidInput."""
    return milliseconds(duration, name, minimum=0, maximum=MAX_DELAY_MS, bounds="0 or more, and at most 30 days")


def _seconds(duration: object) -> float | None:
    """Return the seconds of a duration, or None when the value is not a duration."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, str):
        found = _TEXT.fullmatch(duration)
        return float(found[1]) * _SECONDS[found[2] or "s"] if found else None
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        return None
    return max(min(duration, _MAX_SECONDS), -_MAX_SECONDS) if isinstance(duration, int) else duration


def shown(value: object) -> str:
    """Return a value as errors show it. Python writes no number of more than 4,300 digits."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return "a number of more than 300 digits"
    return repr(value)


def whole(value: int, name: str, *, minimum: int = 0, maximum: int = 2**53) -> int:
    """Return a whole number within its bounds. Raises InvalidInput that names it."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise InvalidInput(name=name, detail=f"must be a whole number from {minimum} to {maximum}, got {shown(value)}")
    return value


def flag(value: bool, name: str) -> bool:
    """Return True or False. Raises InvalidInput for any other value, such as the text "no", which Python takes for true."""
    if not isinstance(value, bool):
        raise InvalidInput(name=name, detail=f"must be True or False, got {value!r:.80}")
    return value


def moment(ms: int | bytes | str) -> datetime:
    """Return a point in time (UTC) from milliseconds since the epoch."""
    return datetime.fromtimestamp(int(ms) / 1000, UTC)


def moment_of(micros: int | bytes | str) -> datetime:
    """Return a point in time (UTC), to the millisecond, from microseconds since the epoch."""
    return moment(int(micros) // 1000)
