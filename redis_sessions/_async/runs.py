"""A run that a worker claimed: a spawned session, with the lease on it and one attempt at its task."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from .._core.keys import SessionKeys
from .._core.leases import Grant, lease_ttl
from .._core.runs import Claim
from .._core.units import Duration, milliseconds
from ..errors import SessionNotFound, SessionsError
from ..models.sessions import Status
from . import background
from .held import enter, leave
from .home import Home
from .leases import AsyncLease
from .session import AsyncSession


class AsyncRun(AsyncSession):
    """A claimed run: a handle on its session that writes under its lease, which is renewed until the run is over.

    End it (`complete`, `fail`, …) or give it back (`release`). `async with run:` gives it back at the end of the block if it was
    not ended, and lets other handles of this task write under its lease, too. When its worker dies the lease runs out, and
    another can claim it, `max_attempts` times in all.
    """

    def __init__(
        self, home: Home, keys: SessionKeys, claim: Claim, nonce: str, ttl: Duration, owner: str | None
    ) -> None:
        plain = AsyncSession(home, keys, claim.life)
        self.held = AsyncLease(plain, ttl, 0, owner)
        """The lease it is written under."""
        self.task = claim.task
        """What it was spawned for."""
        self.attempt = claim.attempt
        """Which attempt this is, from 1."""
        self.max_attempts = claim.max_attempts
        """How many there may be."""
        self.is_over = False
        """Whether it was ended or given back with this handle."""
        self._is_ended = False
        self._task: background.Cancellable | None = None
        super().__init__(home, keys, claim.life, under=self.held)
        self.held._granted(Grant(claim.fence, claim.ms, claim.life), nonce)

    async def extend(self, ttl: Duration) -> None:
        """Renews the lease for so long, and each time from now on. One round trip. Raises LeaseLost."""
        self.held._ttl_ms = lease_ttl(ttl)
        await self.held.renew()

    async def release(self, *, delay: Duration = 0.0) -> None:
        """Gives it back: the next worker has it after `delay` seconds; this attempt counts. Two round trips.

        Raises LeaseLost when it is not held any more.
        """
        delay_ms = milliseconds(delay, "delay", least=0, bounds="0 or more")
        self.is_over = True
        await self.held.release()
        await self._home.queues.announce(self._keys, delay_ms)

    def _writer(self) -> tuple[str, str]:
        return (self._life, "") if self._is_ended else super()._writer()

    async def _status(self, wanted: Status, reason: str | None, result: Any, expected_rev: int | None) -> int:
        rev = await super()._status(wanted, reason, result, expected_rev)
        if wanted not in ("active", "paused"):
            self.is_over = self._is_ended = True
            self.held._end()
        return rev

    async def __aenter__(self) -> Self:
        enter(self.held)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave(self.held)
        if self.is_over:
            return
        try:
            await self.release()
        except SessionNotFound:
            pass  # deleted meanwhile: nothing is left to give back
        except SessionsError:
            if error is None:
                raise
