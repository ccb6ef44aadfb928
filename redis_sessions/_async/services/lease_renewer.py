"""Keep one held lease alive: the only place that owns the timers of a lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from ..._core.commands import leases
from ..._core.commands.lease_states import RENEWABLE, LeaseEvent
from ..._core.protocol.call import Call
from ..._core.protocol.keys import IndexKeys
from ...errors import LeaseLost, SessionNotFound, SessionsError
from ..transport import tasks
from ..transport.executor import Executor
from .lease_context import HeldLease

_INDEX_AFTER_SECONDS = 0.1
"""A lease that is held for less is not written to the index of leases, so short turns cost the index nothing."""


class LeaseRenewer:
    """Renew a lease at a third of its ttl, mark it lapsed when no answer comes in time, and keep the index of leases.

    The timers hold the renewer weakly: a lease whose handle was dropped is not renewed any more.
    """

    def __init__(
        self,
        executor: Executor,
        lease: HeldLease,
        renew_call: Callable[[int], Call[int]],
        index: IndexKeys,
        session_id: str,
        ttl_ms: int,
    ) -> None:
        self._executor = executor
        self._lease = lease
        self._renew_call = renew_call
        self._index = index
        self._session_id = session_id
        self.ttl_ms = ttl_ms
        self._expires_at = 0.0
        self._renewal: tasks.Cancellable | None = None
        self._indexing: tasks.Cancellable | None = None
        self._is_indexed = False

    def start(self, ms: float) -> None:
        """Begin with a lease that was granted for `ms` milliseconds."""
        self._schedule(ms)
        self._indexing = tasks.later(_INDEX_AFTER_SECONDS, tasks.while_used(self._update_index))

    def stop(self) -> None:
        """Stop renewing."""
        for timer in (self._renewal, self._indexing):
            if timer is not None:
                timer.cancel()

    def remove_from_index(self) -> None:
        """Take the lease out of the index of leases, in the background, if it was written there."""
        if self._is_indexed:
            tasks.spawn(self._update_index)

    async def renew(self) -> None:
        """Renew the lease for its whole ttl. One round trip. Raises LeaseLost, SessionNotFound and transport errors."""
        began = time.monotonic()
        try:
            ms = await self._executor.run(self._renew_call(self.ttl_ms))
        except (LeaseLost, SessionNotFound):
            self._lease.apply(LeaseEvent.REFUSED)
            raise
        self._lease.apply(LeaseEvent.RENEWED)
        self._schedule(ms - (time.monotonic() - began) * 1000)

    def _schedule(self, ms: float) -> None:
        if self._lease.state not in RENEWABLE:
            return
        self._expires_at = time.monotonic() + ms / 1000
        self._renew_after(max(ms, 0) / 3000)

    def _renew_after(self, seconds: float) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        self._renewal = tasks.later(seconds, tasks.while_used(self._renew_in_background))

    async def _renew_in_background(self) -> None:
        if self._lease.state not in RENEWABLE:
            return
        lapse = tasks.later(max(self._expires_at - time.monotonic(), 0), self._mark_lapsed)
        try:
            await self.renew()
        except (LeaseLost, SessionNotFound):
            return
        except SessionsError:
            if self._lease.state in RENEWABLE:
                self._renew_after(self.ttl_ms / 10_000)
            return
        finally:
            lapse.cancel()
        await self._update_index()

    async def _mark_lapsed(self) -> None:
        self._lease.apply(LeaseEvent.TTL_ELAPSED)

    async def _update_index(self) -> None:
        """Write or remove the lease's entry. The index is advisory: it may be late, and this may fail."""
        ttl_ms = self.ttl_ms if self._lease.state in RENEWABLE else 0
        self._is_indexed = ttl_ms > 0
        with suppress(SessionsError):
            await self._executor.run(leases.update_index(self._index, self._session_id, ttl_ms))
