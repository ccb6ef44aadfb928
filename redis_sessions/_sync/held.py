# Generated from ../_async/held.py by tools/mirror.py; edit that file.
"""Which lease a task or thread writes under: what its context says, or its handle."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .leases import Lease
    from .session import Session

_held: ContextVar[dict[tuple[int, str], tuple[Lease, str]]] = ContextVar("redis_sessions_leases")


def enter(lease: Lease) -> None:
    """From here on this task, and those it starts, write under a lease."""
    kept = {address: entry for address, entry in _held.get({}).items() if not entry[0]._is_over}
    _held.set({**kept, lease._session._address: (lease, lease._token)})


def leave(lease: Lease) -> None:
    """Ends what `enter` began, for this task."""
    if lease_here(lease._session) is lease:
        _held.set({address: entry for address, entry in _held.get({}).items() if entry[0] is not lease})


def lease_here(session: Session) -> Lease | None:
    """The lease that this task writes a session under, or None."""
    held = _held.get(None)
    entry = held.get(session._address) if held else None
    return entry[0] if entry else None


def token_of(session: Session) -> str:
    """'fence nonce' of the lease that a write is made under; '' for none."""
    if session._lease is not None:
        return session._lease._require()
    held = _held.get(None)
    entry = held.get(session._address) if held else None
    return entry[0]._writes_under(entry[1]) if entry else ""


def lose(session: Session) -> None:
    """Tells the lease that a write was refused for it."""
    held = _held.get({})
    lease, token = (session._lease, session._lease._token) if session._lease else held.get(session._address, (None, ""))
    if lease is not None and token == lease._token:
        lease.lost.set()
