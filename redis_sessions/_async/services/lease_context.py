"""The lease that a task or thread writes under: from its context variable, or from its handle."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeAlias

from ..._core.commands.lease_states import OPEN, LeaseEvent, LeaseState, next_state
from ..._log_events import LEASE_LOST
from ...models.observer import OFF
from ..transport import tasks

Address: TypeAlias = tuple[int, str]
"""A session of one cache: the identity of the cache's context, and the key of the session."""


class HeldLease:
    """One grant of a lease. The handle that acquired the lease, its renewer and the context variable share this object."""

    __slots__ = (
        "address",
        "is_watched",
        "lost",
        "on_lost",
        "owner",
        "pid",
        "session_id",
        "state",
        "telemetry",
        "token",
    )

    def __init__(self, address: Address, token: str, session_id: str = "", owner: str = "") -> None:
        self.address = address
        self.token = token
        """'<fence> <nonce>', as scripts compare them."""
        self.session_id, self.owner = session_id, owner
        """The session and the name of the holder, for the log."""
        self.pid = os.getpid()
        self.state = LeaseState.HELD
        self.lost = tasks.Event()
        """Set while the state is LAPSED or LOST."""
        self.is_watched = False
        """True for the lease of a worker's run, whose loss the worker logs."""
        self.telemetry = OFF
        self.on_lost: Callable[[], object] | None = None
        """Called when the state becomes LOST."""

    def apply(self, event: LeaseEvent) -> None:
        """Move to the next state, and set or clear `lost` by it."""
        before, self.state = self.state, next_state(self.state, event)
        self._log(before, event)
        if self.state in (LeaseState.LAPSED, LeaseState.LOST):
            self.lost.set()
            if self.state is LeaseState.LOST and self.on_lost is not None:
                self.on_lost()
        elif self.state is LeaseState.HELD:
            self.lost.clear()

    def _log(self, before: LeaseState, event: LeaseEvent) -> None:
        """Log and count the loss of the lease, once. A worker logs the loss of its runs itself."""
        is_new = before is LeaseState.LAPSED or not self.lost.is_set()
        if self.state is not LeaseState.LOST or not is_new:
            return
        self.telemetry.count_lost_lease()
        if event is LeaseEvent.REFUSED and not self.is_watched:
            text = "the lease on session %s is lost: it was taken over, it ran out, or the session ended"
            LEASE_LOST.log(text, self.session_id, session_id=self.session_id, worker=self.owner, fence=self.fence)

    @property
    def fence(self) -> int:
        """The fencing token of the grant."""
        return int(self.token.split()[0])

    @property
    def nonce(self) -> str:
        """The nonce of the request that was granted."""
        return self.token.split()[1]

    @property
    def is_open(self) -> bool:
        """True if a write of this process carries the lease. A forked process does not hold its parent's leases."""
        return self.state in OPEN and self.pid == os.getpid()


_held_leases: ContextVar[dict[Address, HeldLease]] = ContextVar("redis_sessions_held_leases")


def push(lease: HeldLease) -> None:
    """Let this task, and the tasks that it starts, write under a lease."""
    kept = {address: other for address, other in _held_leases.get({}).items() if other.is_open}
    _held_leases.set({**kept, lease.address: lease})


def pop(lease: HeldLease) -> None:
    """Undo `push` for this task."""
    held = _held_leases.get({})
    if held.get(lease.address) is lease:
        _held_leases.set({address: other for address, other in held.items() if other is not lease})


def current_lease(address: Address) -> HeldLease | None:
    """Return the lease that this task writes a session under, or None."""
    held = _held_leases.get(None)
    return held.get(address) if held else None


def write_token(address: Address) -> str:
    """Return '<fence> <nonce>' for a write of this task, or '' when the task holds no lease on the session."""
    lease = current_lease(address)
    return lease.token if lease is not None and lease.is_open else ""


def mark_lost(lease: HeldLease | None) -> None:
    """Record that the server refused a write under a lease."""
    if lease is not None:
        lease.apply(LeaseEvent.REFUSED)
