# Generated from _async/api/run.py by tools/mirror.py; edit that file.
"""A claimed run: a spawned session, with its lease and one attempt at its task."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from ..._core.commands.leases import Grant, lease_ttl
from ..._core.commands.run_queues import ClaimReply
from ..._core.protocol.keys import SessionKeys
from ..._durations import Duration, milliseconds
from ...errors import SessionNotFound, SessionsError
from ...models.sessions import Status
from ..services import lease_context
from ..services.context import CacheContext
from ..transport import tasks
from .lease import Lease
from .session import Session


class Run(Session):
    """A claimed run: a handle on its session that writes under its lease. The lease is renewed until the run is over.

    End the run (`complete`, `fail`, …) or give it back (`release`). `with run:` gives it back at the end of the block if it
    was not ended, and lets other handles of this task write under its lease, too. When its worker dies, the lease runs out and
    another worker can claim the run, `max_attempts` times in all.
    """

    def __init__(
        self, context: CacheContext, keys: SessionKeys, claim: ClaimReply, nonce: str, ttl: Duration,
        owner: str | None,
    ) -> None:  # fmt: skip
        plain = Session(context, keys, claim.incarnation)
        self.held: Lease[Session] = plain.lease(ttl, 0, owner=owner)
        """The lease of the run."""
        self.task = claim.task
        """The task it was spawned for."""
        self.attempt = claim.attempt
        """The number of this attempt, from 1."""
        self.max_attempts = claim.max_attempts
        """The maximum number of claims."""
        self.is_over = False
        """True if it was ended or given back with this handle."""
        self._is_ended = False
        self._task: tasks.Cancellable | None = None
        self._grant = self.held._hold(Grant(claim.fence, claim.ttl_ms, claim.incarnation), nonce)
        super().__init__(context, keys, claim.incarnation, under=self._grant)

    def extend(self, ttl: Duration) -> None:
        """Renew the lease for a ttl of 0.1 s to a day, now and from now on. One round trip. Raises LeaseLost."""
        self.held._set_ttl(lease_ttl(ttl))
        self.held.renew()

    def release(self, *, delay: Duration = 0.0) -> None:
        """Give the run back. This attempt counts.

        Args:
            delay: the time after which the next worker can claim it.

        Raises:
            LeaseLost: another worker holds the lease.

        Cost: two round trips.
        """
        delay_ms = milliseconds(delay, "delay", minimum=0, bounds="0 or more")
        self.is_over = True
        self.held.release()
        self._context.run_queues.schedule(self._keys, delay_ms)

    def _writer(self) -> tuple[str, str]:
        return (self._incarnation, "") if self._is_ended else super()._writer()

    def _set_status(self, status: Status, reason: str | None, result: Any, expected_rev: int | None) -> int:
        rev = super()._set_status(status, reason, result, expected_rev)
        if status not in ("active", "paused"):
            self.is_over = self._is_ended = True
            self.held._end()
        return rev

    def __enter__(self) -> Self:
        lease_context.push(self._grant)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lease_context.pop(self._grant)
        if self.is_over:
            return
        try:
            self.release()
        except SessionNotFound:
            pass  # deleted since: nothing is left to give back
        except SessionsError:
            if error is None:
                raise
