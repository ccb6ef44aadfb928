"""The life of one granted lease, as a state machine that needs no server. docs/explanation/leases.md draws it."""

from __future__ import annotations

from enum import Enum, auto


class LeaseState(Enum):
    """One state of a granted lease."""

    HELD = auto()
    """The server granted or renewed the lease, and its ttl has not elapsed."""
    LAPSED = auto()
    """The ttl elapsed without an answer to a renewal. Another worker may hold the lease by now, or none."""
    LOST = auto()
    """The server refused a write, a renewal or the release: the lease belongs to another worker, or to none.

    Or the lease was held for `max_hold`, or the cache that renews the lease was closed.
    """
    RELEASING = auto()
    """The holder asked for the release. The lease is not renewed any more."""
    RELEASED = auto()
    """The server confirmed the release."""
    ENDED = auto()
    """The session ended under the lease. Nothing is left to write or to release."""


class LeaseEvent(Enum):
    """One thing that happens to a granted lease."""

    RENEWED = auto()
    TTL_ELAPSED = auto()
    REFUSED = auto()
    MAX_HOLD_ELAPSED = auto()
    CACHE_CLOSED = auto()
    RELEASE_REQUESTED = auto()
    RELEASED = auto()
    SESSION_ENDED = auto()


_HELD, _LAPSED, _LOST = LeaseState.HELD, LeaseState.LAPSED, LeaseState.LOST
_RELEASING, _RELEASED, _ENDED = LeaseState.RELEASING, LeaseState.RELEASED, LeaseState.ENDED

TRANSITIONS: dict[tuple[LeaseState, LeaseEvent], LeaseState] = {
    (_HELD, LeaseEvent.RENEWED): _HELD,
    (_HELD, LeaseEvent.TTL_ELAPSED): _LAPSED,
    (_HELD, LeaseEvent.REFUSED): _LOST,
    (_HELD, LeaseEvent.MAX_HOLD_ELAPSED): _LOST,
    (_HELD, LeaseEvent.CACHE_CLOSED): _LOST,
    (_HELD, LeaseEvent.RELEASE_REQUESTED): _RELEASING,
    (_HELD, LeaseEvent.SESSION_ENDED): _ENDED,
    (_LAPSED, LeaseEvent.RENEWED): _HELD,
    (_LAPSED, LeaseEvent.REFUSED): _LOST,
    (_LAPSED, LeaseEvent.MAX_HOLD_ELAPSED): _LOST,
    (_LAPSED, LeaseEvent.CACHE_CLOSED): _LOST,
    (_LAPSED, LeaseEvent.RELEASE_REQUESTED): _RELEASING,
    (_LAPSED, LeaseEvent.SESSION_ENDED): _ENDED,
    (_LOST, LeaseEvent.RELEASE_REQUESTED): _RELEASING,
    (_LOST, LeaseEvent.SESSION_ENDED): _ENDED,
    (_RELEASING, LeaseEvent.REFUSED): _LOST,
    (_RELEASING, LeaseEvent.RELEASED): _RELEASED,
    (_RELEASING, LeaseEvent.SESSION_ENDED): _ENDED,
}
"""The next state of each pair. A pair that is missing leaves the state as it is."""

RENEWABLE = frozenset({_HELD, _LAPSED})
"""States in which the lease is renewed in the background."""
OPEN = frozenset({_HELD, _LAPSED, _LOST, _RELEASING})
"""States in which a write of the holder carries the lease, so that the server accepts or refuses the write by it."""


def next_state(state: LeaseState, event: LeaseEvent) -> LeaseState:
    """Return the state after an event."""
    return TRANSITIONS.get((state, event), state)
