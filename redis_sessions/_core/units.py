"""Durations: seconds or timedelta in public, whole milliseconds inside. One conversion for all of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from ..errors import InvalidInput

Duration: TypeAlias = float | timedelta
LONGEST_MS = 100 * 365 * 24 * 3600 * 1000


def milliseconds(
    duration: Duration,
    name: str,
    *,
    least: int = 1,
    most: int = LONGEST_MS,
    bounds: str = "at least 1 ms and at most 100 years",
) -> int:
    """A duration as whole milliseconds; refuses what is not finite, or not within its bounds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise InvalidInput(name=name, detail=f"{duration!r} is no duration in seconds")
    ms = round(seconds * 1000)
    if not least <= ms <= most:
        raise InvalidInput(name=name, detail=f"{duration!r} must be {bounds}")
    return ms


def whole(value: int, name: str, *, least: int = 0, most: int = 2**53) -> int:
    """A whole number within bounds, or a refusal that names it."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(name=name, detail=f"{value!r} must be a whole number from {least} to {most}")
    return value


def moment_of(micros: int | bytes | str) -> datetime:
    """A point in time (UTC), to the millisecond, from microseconds since the epoch."""
    return moment(int(micros) // 1000)


def moment(ms: int | bytes | str) -> datetime:
    """A point in time (UTC) from milliseconds since the epoch."""
    return datetime.fromtimestamp(int(ms) / 1000, UTC)
