"""Short forms of times and amounts, and the order of sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from ...models.fleet import Fleet, FleetSession
from ..app import escape_controls

_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_NEVER = datetime.max.replace(tzinfo=UTC)


def brief(seconds: float) -> str:
    """Return a time in at most four characters: 9s, 12m, 3h, 40d."""
    whole = max(int(seconds), 0)
    size, unit = next(one for one in _UNITS if whole >= one[0] or one[0] == 1)
    return f"{whole // size}{unit}"


def since(then: datetime | None, now: datetime) -> str:
    """Return the time since a moment, or ''."""
    return "" if then is None else brief((now - then).total_seconds())


def until(then: datetime | None, now: datetime) -> str:
    """Return the time until a moment, 'over' if it has passed, or ''."""
    if then is None:
        return ""
    return "over" if then <= now else brief((then - now).total_seconds())


def amount(number: float) -> str:
    """Return a number in at most five characters: 999, 12.3k, 4.5M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            shown = number / size
            return f"{shown:.1f}{unit}" if shown < 100 else f"{shown:.0f}{unit}"
    return f"{number:.0f}"


def state_of(one: FleetSession) -> str:
    """Return the state of a session: its status, or for an active one the state of its run or turn."""
    return one.work if one.status == "active" and one.work is not None else one.status


def who(one: FleetSession, *, is_narrow: bool = False) -> str:
    """Return the agent of a session, or its user, with its label. A narrow column has the label alone."""
    label = f"({one.label})" if one.label else ""
    name = "" if is_narrow and label else one.agent_id or one.user_id or ""
    return escape_controls(" ".join(part for part in (name, label) if part))


def has_lost_holder(one: FleetSession) -> bool:
    """Return whether the lease of a session had run out when it was read, and no other worker took over."""
    return one.lease_expires_at is not None and one.lease_expires_at <= one.read_at


def sorted_sessions(fleet: Fleet, order: str, filter: str) -> Sequence[FleetSession]:
    """Return the sessions that contain a text in any of their names, in an order of `state.SORTS`."""
    found = matching(fleet.sessions, filter)
    keys: dict[str, Callable[[FleetSession], Any]] = {
        "wait": lambda one: one.waiting_since or _NEVER,
        "held": lambda one: one.held_since or _NEVER,
        "deadline": lambda one: one.run_deadline or _NEVER,
        "inbox": lambda one: -one.inbox_size,
        "attempt": lambda one: -one.attempt,
        "spend": lambda one: (-one.spent_cost, -one.spent_tokens),
    }
    return sorted(found, key=keys[order]) if order in keys else found


def matching(sessions: Sequence[FleetSession], filter: str) -> Sequence[FleetSession]:
    """Return the sessions that contain each word of a text in any of their names."""
    words = filter.lower().split()
    return [one for one in sessions if _matches(one, words)] if words else sessions


def _matches(one: FleetSession, words: Sequence[str]) -> bool:
    names = (
        one.id,
        one.agent_id,
        one.user_id,
        one.label,
        one.name,
        one.task,
        one.holder,
        one.root_id,
        one.status,
        one.work,
    )
    return contains(words, *names)


def contains(words: Sequence[str], *names: str | None) -> bool:
    """Return whether each word is in one of the names."""
    text = "\n".join(name for name in names if name).lower()
    return all(word in text for word in words)
