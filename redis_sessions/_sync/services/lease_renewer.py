# Generated from _async/services/lease_renewer.py by tools/mirror.py; edit that file.
"""Keep one held lease alive: the only place that owns the timers of a lease."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from weakref import ref

from ..._core.commands import leases
from ..._core.commands.lease_states import RENEWABLE, LeaseEvent, LeaseState
from ..._core.commands.leases import Grant
from ..._core.protocol.call import Call
from ..._core.protocol.keys import SessionKeys, index_keys
from ..._core.protocol.notifications import Notification
from ..._log_events import LEASE_HELD_TOO_LONG, LEASE_LAPSED
from ...errors import InvalidInput, LeaseLost, SessionNotActive, SessionNotFound, SessionsError
from ..transport import renewal_thread, tasks
from ..transport.notifications import NotificationHub
from ..transport.renewal_thread import LeaseLoop
from .context import CacheContext
from .lease_context import HeldLease

_INDEX_AFTER_SECONDS = 0.1
"""A lease that is held for less is not written to the index of leases, so short turns cost the index nothing."""
_MIN_PAUSE_SECONDS = 0.03
"""The least pause between two renewals."""
_ASK_SECONDS = 0.5
"""The least pause between two renewals that are made because a notification may have been missed."""
_REFUSALS = (LeaseLost, SessionNotFound, SessionNotActive)


class LeaseRenewer:
    """Renew a lease at a third of its ttl, mark it lapsed when no answer comes in time, and keep the index of leases.

    Renewals run in the renewal thread, and their results reach the event loop of the lease from there. The timers hold the
    renewer weakly: a lease whose handle was dropped is not renewed any more.
    """

    def __init__(
        self,
        context: CacheContext,
        keys: SessionKeys,
        lease: HeldLease,
        grant: Grant,
        ttl_ms: int,
        max_hold_ms: int | None,
    ) -> None:
        self.ttl_ms = ttl_ms
        self._context = context
        self._hub = context.hub
        self._keys = keys
        self._incarnation = grant.incarnation
        self._lease = lease
        self._index = index_keys(context.namespace, "leases")
        self._home = LeaseLoop()
        self._lock = threading.Lock()
        self._timer: tasks.Cancellable | None = None
        self._indexing: tasks.Cancellable | None = None
        self._is_indexed = False
        self._is_stopped = False
        self._has_lapsed = False
        self._expires_at = 0.0
        self._began_at, self._due, self._check_at = 0.0, 0.0, math.inf
        """The start of the last renewal; the time of the next one, in the past during a renewal; the latest time of a check."""
        self._ends_at = math.inf if max_hold_ms is None else grant.granted_at + max_hold_ms / 1000
        self._max_hold_ms = max_hold_ms

    def start(self, grant: Grant) -> None:
        """Begin with a lease that was granted."""
        self._note_grant(grant.granted_at, grant.ms, grant.session_ttl_ms)
        self._indexing = tasks.later(_INDEX_AFTER_SECONDS, tasks.while_used(self._update_index))
        _listen(self._hub, self._lease, self._home, self)

    def stop(self) -> None:
        """Stop renewing."""
        with self._lock:
            self._is_stopped = True
            for timer in (self._timer, self._indexing):
                if timer is not None:
                    timer.cancel()
        self._hub.unregister(self._lease.nonce)

    def check(self) -> None:
        """Ask the server, in the background, whether the lease is still held."""
        self._renew_after(0)

    def check_soon(self) -> None:
        """Ask the server within 0.5 s, because a notification of the loss may have been missed. At most every 0.5 s.

        Only for the runs of workers. Any other holder learns of a missed loss from its next renewal.
        """
        if self._lease.is_watched:
            now = time.monotonic()
            self._check_at = min(self._check_at, max(self._began_at + _ASK_SECONDS, now))
            if self._due > now:  # else a renewal is under way, which plans the check as the next one
                self._renew_after(self._due - now)

    def remove_from_index(self) -> None:
        """Take the lease out of the index of leases, in the background, if it was written there."""
        if self._is_indexed:
            tasks.spawn(self._update_index)

    def renew(self) -> None:
        """Renew the lease for its whole ttl. One round trip. Raises LeaseLost, SessionNotFound and transport errors."""
        if self._ends_at <= time.monotonic():
            self._end_by_max_hold(self._lease.apply)
            detail = f"it was held for max_hold, {(self._max_hold_ms or 0) / 1000:g} s"
            raise LeaseLost(session_id=self._keys.id, fence=self._lease.fence, holder="-", detail=detail)
        began = time.monotonic()
        try:
            renewed = self._context.executor.run(self._call(began))
        except _REFUSALS:
            self._lease.apply(LeaseEvent.REFUSED)
            raise
        self._lease.apply(LeaseEvent.RENEWED)
        self._note_grant(began, *renewed)

    def _call(self, now: float) -> Call[tuple[int, int]]:
        left_ms = round(min((self._ends_at - now) * 1000, self.ttl_ms))
        return leases.renew(self._keys, self._incarnation, self._lease.token, max(left_ms, 1))

    def _note_grant(self, began: float, ms: int, session_ttl_ms: int) -> None:
        """Plan the next renewal: at a third of the lease, or of the session's idle ttl, which the holder's writes set again."""
        self._expires_at = began + ms / 1000
        life_ms, now = min(ms, session_ttl_ms or ms), time.monotonic()
        due = max(began + life_ms / 3000, now + _MIN_PAUSE_SECONDS)
        if life_ms == ms and self._expires_at + _MIN_PAUSE_SECONDS >= self._ends_at:
            due = self._ends_at  # the lease lasts until then
        self._renew_after(max(min(due, self._ends_at) - now, 0))

    def _renew_after(self, seconds: float) -> None:
        with self._lock:
            if self._is_stopped or self._lease.state not in RENEWABLE:
                return
            if self._timer is not None:
                self._timer.cancel()
            now = time.monotonic()
            self._due = min(now + seconds, self._check_at)
            self._timer = renewal_thread.later(max(self._due - now, 0), tasks.while_used(self._renew_in_background))

    def _renew_in_background(self) -> None:
        if self._is_stopped or self._lease.state not in RENEWABLE or self._home.is_closed:
            return
        now, tell = time.monotonic(), self._tell
        self._began_at, self._check_at = now, math.inf
        if self._ends_at <= now:
            self._end_by_max_hold(tell)
            return
        connections = self._context.renewals
        connections.check_loop(self._home, self.ttl_ms)
        lapse = renewal_thread.later(max(self._expires_at - now, 0), self._mark_lapsed)
        try:
            renewed = connections.run(self._call(now))
        except _REFUSALS:
            tell(LeaseEvent.REFUSED)
            return
        except InvalidInput:  # the cache is closed
            tell(LeaseEvent.CACHE_CLOSED)
            return
        except SessionsError:
            self._renew_after(self.ttl_ms / 10_000)
            return
        finally:
            lapse.cancel()
        if self._has_lapsed:
            self._has_lapsed = False
            tell(LeaseEvent.RENEWED)
        self._note_grant(now, *renewed)
        with suppress(SessionsError):
            connections.run(self._index_call())

    def _tell(self, event: LeaseEvent) -> None:
        self._home.call(self._lease.apply, event)

    def _mark_lapsed(self) -> None:
        if not self._has_lapsed and self._lease.state is LeaseState.HELD:
            LEASE_LAPSED.log(
                "the lease on session %s was not renewed in time", self._keys.id, session_id=self._keys.id,
                worker=self._lease.owner, fence=self._lease.fence,
            )  # fmt: skip
        self._has_lapsed = True
        self._tell(LeaseEvent.TTL_ELAPSED)

    def _end_by_max_hold(self, tell: Callable[[LeaseEvent], None]) -> None:
        if self._lease.state in RENEWABLE and not self._is_stopped:
            self._is_stopped = True
            seconds = (self._max_hold_ms or 0) / 1000
            LEASE_HELD_TOO_LONG.log(
                "the lease on session %s ends, because it was held for max_hold, %g s", self._keys.id, seconds,
                session_id=self._keys.id, worker=self._lease.owner, fence=self._lease.fence, held_s=seconds,
            )  # fmt: skip
            tell(LeaseEvent.MAX_HOLD_ELAPSED)

    def _update_index(self) -> None:
        """Write or remove the lease's entry. The index is advisory: it may be late, and this may fail."""
        with suppress(SessionsError):
            self._context.executor.run(self._index_call())

    def _index_call(self) -> Call[None]:
        ttl_ms = self.ttl_ms if self._lease.state in RENEWABLE else 0
        self._is_indexed = ttl_ms > 0
        return leases.update_index(self._index, self._keys.id, ttl_ms)


class _LossListener:
    """Hears that a lease was lost. It holds the renewer weakly, as the timers do."""

    def __init__(self, renewer: ref[LeaseRenewer]) -> None:
        self._renewer = renewer

    def put(self, item: Notification) -> None:
        renewer = self._renewer()
        if renewer is not None and item.word == "lost":
            renewer.check()
        elif renewer is not None and item.word == "ask":
            renewer.check_soon()


def _listen(hub: NotificationHub, lease: HeldLease, home: LeaseLoop, renewer: LeaseRenewer) -> None:
    """Let a renewer hear of the loss of its lease, until it stops. A lease whose renewer was dropped lapses."""

    def lapse(_: ref[LeaseRenewer]) -> None:
        hub.unregister(lease.nonce)
        home.call(lease.apply, LeaseEvent.TTL_ELAPSED)

    hub.attach(lease.nonce, _LossListener(ref(renewer, lapse)))
