"""Limits of a session and what a check of them answers."""

from __future__ import annotations

from typing import Literal, NamedTuple

LimitAction = Literal["error", "end_session", "ignore"]


class LimitCheck(NamedTuple):
    """`state` is ok, at_limit or exceeded; the rest says which limit and where it stands (durations in ms)."""

    state: Literal["ok", "at_limit", "exceeded"]
    limit: Literal["turns", "entries", "duration"] | None = None
    current: int = 0
    max: int = 0

    @classmethod
    def parse(cls, text: str) -> LimitCheck:
        """From a script's words: 'ok', 'at_limit turns 2 2'."""
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
    """Every limit that is set, in the order turns, entries, duration. A duration is never merely at its limit."""
    found: list[LimitCheck] = []
    if max_turns is not None:
        found.append(_hold("turns", turns, max_turns))
    if max_entries is not None:
        found.append(_hold("entries", entries, max_entries))
    if max_duration_ms is not None:
        over = duration_ms > max_duration_ms
        found.append(LimitCheck("exceeded" if over else "ok", "duration", duration_ms, max_duration_ms))
    return found


def _hold(limit: Literal["turns", "entries"], current: int, max: int) -> LimitCheck:
    state: Literal["ok", "at_limit", "exceeded"]
    state = "exceeded" if current > max else "at_limit" if current == max else "ok"
    return LimitCheck(state, limit, current, max)
