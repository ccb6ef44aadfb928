"""The limits of a session, and the result of a check of them."""

from __future__ import annotations

from typing import Literal, NamedTuple

LimitAction = Literal["error", "end_session", "ignore"]
LimitName = Literal["turns", "entries", "duration"]


class LimitCheck(NamedTuple):
    """The position of a session against its limits."""

    state: Literal["ok", "at_limit", "exceeded"]
    """ok: below every limit. at_limit: equal to one. exceeded: above one."""
    limit: LimitName | None = None
    """The limit that is reached, or None."""
    current: int = 0
    """The current count, or ms for a duration."""
    max: int = 0
    """The limit, or ms for a duration."""

    @classmethod
    def parse(cls, text: str) -> LimitCheck:
        """Read the words of a script, such as 'ok' or 'at_limit turns 2 2'."""
        state, *fact = text.split()
        if not fact:
            return cls("ok")
        return cls(state, fact[0], int(fact[1]), int(fact[2]))  # type: ignore[arg-type]


def check_limits(
    *,
    turns: int,
    entries: int,
    duration_ms: int,
    max_turns: int | None,
    max_entries: int | None,
    max_duration_ms: int | None,
) -> list[LimitCheck]:
    """Return a check of every limit that is set, in the order turns, entries, duration. A duration is never at_limit."""
    found: list[LimitCheck] = []
    if max_turns is not None:
        found.append(_check("turns", turns, max_turns))
    if max_entries is not None:
        found.append(_check("entries", entries, max_entries))
    if max_duration_ms is not None:
        is_over = duration_ms > max_duration_ms
        found.append(LimitCheck("exceeded" if is_over else "ok", "duration", duration_ms, max_duration_ms))
    return found


def _check(limit: Literal["turns", "entries"], current: int, max: int) -> LimitCheck:
    state: Literal["ok", "at_limit", "exceeded"]
    state = "exceeded" if current > max else "at_limit" if current == max else "ok"
    return LimitCheck(state, limit, current, max)
