"""Leases: the exclusive right to write a session for a while, waited for in line, renewed in the background."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .._core import leases, messages
from .._core.keys import index_keys
from .._core.leases import Grant
from .._core.units import Duration, whole
from ..errors import (
    InvalidInput,
    LeaseLost,
    NotReplicated,
    OutcomeUnknown,
    SessionLocked,
    SessionNotFound,
    SessionsError,
    StoreUnavailable,
)
from ..models.leases import LeaseInfo
from ..models.messages import Message
from . import background, held
from .wakes import DEAF

if TYPE_CHECKING:
    from .session import AsyncSession

_LATE = 0.005  # seconds after which what ran out at the server has surely run out
_NOTED = 0.1  # seconds after which a lease is noted in the index; shorter turns cost it nothing
_UNANSWERED = (OutcomeUnknown, StoreUnavailable, NotReplicated)


class AsyncLease:
    """The exclusive right to write one session; `async with session.lease():` acquires and releases it.

    In the block, every write to the session by this thread or task, or by tasks that it starts, is made under the lease:
    refused (LeaseLost) once another has it, even when such a task outlives the block. Other threads, and tasks begun before,
    write under it with `lease.session`. While it is held it is renewed in the background at a third of its ttl, and others'
    writes are refused with SessionLocked. `fence` is the fencing token. `lost` is an event: set when a write or a renewal was
    refused, or nobody answered until the lease ran out; cleared when a later renewal finds that nobody took it.
    """

    def __init__(self, session: AsyncSession, ttl: Duration, wait: Duration, owner: str | None) -> None:
        self.owner = leases.owner_name(owner)
        """What others are told who holds it."""
        self.fence = 0
        """The fencing token: grows with every grant in the session's life; 0 before the first."""
        self.lost = background.Event()
        """Set at once when a write or a renewal is refused, or nobody answered until the lease ran out."""
        self._session = session
        self._index = index_keys(session._home.namespace, "leases")
        self._ttl_ms = leases.lease_ttl(ttl)
        self._wait_ms = leases.lease_wait(wait)
        self._token = ""
        self._lost_tokens: set[str] = set()
        self._is_over = self._is_leaving = False
        self._pid = 0
        self._holds_until = 0.0
        self._renewal: background.Cancellable | None = None
        self._noting: background.Cancellable | None = None
        self._is_noted = False

    @property
    def is_held(self) -> bool:
        """Whether it was acquired, is not released and not known to be lost. Only a write can be sure."""
        return bool(self._token_here()) and not (self._is_over or self._is_leaving or self.lost.is_set())

    @property
    def session(self) -> AsyncSession:
        """A handle that writes under this lease wherever it is used: in other threads, in tasks begun before."""
        self._require()
        return self._session._under(self)

    def _token_here(self) -> str:
        return self._token if self._pid == os.getpid() else ""

    def _writes_under(self, token: str) -> str:
        """What those write under who began when the lease had a token: that, as long as it is held or when it was lost."""
        return token if token in self._lost_tokens or token == self._token_here() else ""

    def _require(self) -> str:
        token = self._token_here()
        if not token or self._is_over:
            detail = "it is released" if self.fence else "it was never acquired"
            raise LeaseLost(session_id=self._session.id, fence=self.fence, holder="-", detail=detail)
        return token

    # -- acquire, renew, release ---------------------------------------------------------------------------------

    async def acquire(self) -> Self:
        """Waits in line, first come, first served; one round trip when nobody holds it. Then `release` it.

        The task or thread that calls this holds it. Raises SessionLocked when `wait` is over (and after `retry_for` more when
        the server does not answer: StoreUnavailable, OutcomeUnknown), SessionNotFound, LimitExceeded when 1,000 are in line,
        InvalidInput when this task holds it already, NotReplicated.
        """
        here = held.lease_here(self._session)
        if self.is_held or (here is not None and here.is_held):
            raise InvalidInput(name="lease", detail=f"this task already holds the lease on {self._session.id!r}")
        nonce = secrets.token_hex(8)
        try:
            grant = await self._wait(nonce)
        except BaseException as problem:
            if not isinstance(problem, SessionsError) or isinstance(problem, _UNANSWERED):
                background.spawn(self._withdraw, nonce)  # cancelled or unanswered: the line goes on without us
            raise
        self._granted(grant, nonce)
        held.enter(self)
        return self

    def _granted(self, grant: Grant, nonce: str) -> None:
        self.fence = grant.fence
        self.lost = background.Event()
        self._is_over = self._is_leaving = False
        self._pid = os.getpid()
        self._token = f"{grant.fence} {nonce}"
        self._session._life = grant.life
        self._held_for(grant.ms)
        self._noting = background.later(_NOTED, background.while_used(self._note))

    async def _wait(self, nonce: str) -> Grant:
        wakes = self._session._home.wakes
        due = time.monotonic() + self._wait_ms / 1000
        if self._wait_ms == 0 or not wakes.is_listening:
            try:
                return await self._ask(nonce, 0)
            except SessionLocked:
                if self._wait_ms == 0:
                    raise
        told = wakes.expect(nonce)
        try:
            while True:
                can_hear = await wakes.can_hear(self._session._calls.where)
                left_ms = max(round((due - time.monotonic()) * 1000), 0)
                grant = await self._ask(nonce, left_ms)  # with nothing left it is refused, if it is not granted
                if grant.fence:
                    return grant
                until = min(due, time.monotonic() + (grant.ms / 1000 + _LATE if can_hear else DEAF))
                while (said := await told.get(until - time.monotonic())) is not None and said.word == "held":
                    until = min(due, time.monotonic() + said.ms / 1000 + _LATE)
                if said is not None and said.word == "granted" and not self._session._calls.acks:
                    return Grant(said.fence, said.ms, grant.life)
        finally:
            wakes.forget(nonce)

    async def _ask(self, nonce: str, wait_ms: int) -> Grant:
        session, wakes = self._session, self._session._home.wakes
        call = leases.acquire(
            session._keys, session._life, nonce, self.owner, self._ttl_ms, wait_ms, wakes.channel, wakes.counted
        )
        return await session._calls.run(call)

    async def _withdraw(self, nonce: str) -> None:
        with suppress(SessionsError):  # else its place, or its grant, runs out by itself
            await self._session._calls.run(leases.release(self._session._keys, self._session._life, f"* {nonce}"))

    async def renew(self) -> None:
        """Makes it last its whole ttl from now; the background does so by itself. One round trip.

        Raises LeaseLost when another has it, SessionNotFound when the session is gone; `lost` is set then.
        """
        token, began = self._require(), time.monotonic()
        try:
            call = leases.renew(self._session._keys, self._session._life, token, self._ttl_ms)
            ms = await self._session._calls.run(call)
        except (LeaseLost, SessionNotFound):
            self._lose(token)
            raise
        if self._token == token:
            self.lost.clear()  # it had run out unanswered, but nobody took it
            self._held_for(ms - (time.monotonic() - began) * 1000)

    def _held_for(self, ms: float) -> None:
        if self._is_leaving:
            return
        self._holds_until = time.monotonic() + ms / 1000
        if self._renewal is not None:
            self._renewal.cancel()
        self._renewal = background.later(max(ms, 0) / 3000, background.while_used(self._keep))

    async def _keep(self) -> None:
        token = self._token
        if not token or self._is_over or self._is_leaving:
            return

        async def lapse() -> None:
            self._lose(token)

        timer = background.later(max(self._holds_until - time.monotonic(), 0), lapse)
        try:
            await self.renew()
        except (LeaseLost, SessionNotFound):
            return
        except SessionsError:
            if self._token == token and not self._is_leaving:
                self._renewal = background.later(self._ttl_ms / 10_000, background.while_used(self._keep))
            return
        finally:
            timer.cancel()
        await self._note()

    async def _note(self) -> None:
        """Keeps the index of leases, in the background: it may be late, and it may fail."""
        ttl_ms = 0 if self._is_over else self._ttl_ms
        self._is_noted = ttl_ms > 0
        with suppress(SessionsError):
            await self._session._calls.run(leases.note(self._index, self._session.id, ttl_ms))

    def _lose(self, token: str) -> None:
        if token and self._token == token and not self._is_leaving:
            self.lost.set()

    def _stop_renewing(self) -> None:
        for timer in (self._renewal, self._noting):
            if timer is not None:
                timer.cancel()

    async def release(self, *, force: bool = False, fence: int | None = None) -> int:
        """Gives it up: the inbox goes into the transcript, the next in line has it. One round trip, atomic.

        Returns how many messages the inbox gave; a limit of the session can keep them there. Raises LeaseLost when it is not
        held. With `force` it ends the lease whoever holds it, with `fence` only if it is that one: for operators; its
        holder's writes are refused from then on.
        """
        if force or fence is not None:
            return await self._release(leases.ORDER if fence is None else f"{whole(fence, 'fence')} *")
        token = self._require()
        self._is_leaving = True  # whatever comes of it: a lease that nobody wants is not renewed
        self._stop_renewing()
        held.leave(self)
        try:
            taken = await self._release(token)
        except (LeaseLost, SessionNotFound):
            self._is_over = True
            self._lost_tokens.add(token)  # tasks it started are refused, too
            self.lost.set()
            raise
        self._is_over = True
        if self._token == token:
            self._token = ""
        if self._is_noted:
            background.spawn(self._note)
        return taken

    def _end(self) -> None:
        """Its session ended: it is not renewed any more, and nothing is written under it."""
        self._is_over = self._is_leaving = True
        self._stop_renewing()
        if self._is_noted:
            background.spawn(self._note)

    async def _release(self, token: str) -> int:
        return await self._session._calls.run(leases.release(self._session._keys, self._session._life, token))

    async def __aenter__(self) -> Self:
        return await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_over or not self._token_here():
            return
        try:
            await self.release()
        except SessionNotFound:
            pass  # deleted under the lease: nothing is left to release
        except SessionsError:
            if error is None:
                raise  # else what broke the block says more

    # -- what the holder does ------------------------------------------------------------------------------------

    async def receive(self) -> list[Message]:
        """Takes what waits in the inbox into the transcript: once, in order, all or none; gives it. One round trip, atomic.

        Raises LeaseLost, SessionNotActive, LimitExceeded (it stays in the inbox then).
        """
        session = self._session
        return await session._calls.run(messages.receive(session._keys, session._life, self._require()))

    async def info(self) -> LeaseInfo | None:
        """Who holds the session's lease, who waits, and how much is in the inbox; None when nobody holds it. One round trip."""
        return await self._session._calls.run(leases.info(self._session._keys, self._session._life))

    def __repr__(self) -> str:
        state = f"fence {self.fence}" if self.is_held else "not held"
        return f"{type(self).__name__}({self._session.id!r}, {state})"
