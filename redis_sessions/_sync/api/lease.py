# Generated from _async/api/lease.py by tools/mirror.py; edit that file.
"""The lease: the exclusive right to write one session for a while."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from ..._core.commands import inbox, leases
from ..._core.commands.lease_states import LeaseEvent, LeaseState
from ..._core.commands.leases import Grant
from ..._core.commands.run_queues import agent_of
from ..._durations import Duration, flag, whole
from ..._pickling import NotPicklable
from ...errors import (
    InvalidInput,
    LeaseLost,
    LimitExceeded,
    NotReplicated,
    OutcomeUnknown,
    SessionLocked,
    SessionNotFound,
    SessionsError,
    StoreUnavailable,
)
from ...models.leases import LeaseInfo
from ...models.messages import Message
from ..services import lease_context
from ..services.lease_context import HeldLease
from ..services.lease_renewer import LeaseRenewer
from ..transport import tasks
from ..transport.notifications import RETRY_SUBSCRIBE_SECONDS
from .session_base import SessionBase

S = TypeVar("S", bound=SessionBase)
_CLOCK_MARGIN_SECONDS = 0.005
"""Added to a deadline of the server before the waiter asks again, so that the deadline has passed there."""
_MAX_HEARD_SECONDS = 30.0
"""The time after which a waiter asks again, however long the lease is said to be held."""
_UNANSWERED = (OutcomeUnknown, StoreUnavailable, NotReplicated)


class Lease(NotPicklable, Generic[S]):
    """The exclusive right to write one session. `with session.lease() as lease:` acquires and releases it.

    In the block, each write to the session by this task, or by tasks that it starts, carries the lease. The server
    refuses such a write with LeaseLost once another worker holds the lease, even when the task outlives the block.
    Other threads, and tasks that began before, write under the lease with `lease.session`. The writes of all other
    workers are refused with SessionLocked. A thread renews the lease at a third of its ttl, for as long as this object exists.
    """

    _instead = "acquire a lease of the session there"

    def __init__(
        self,
        session: S,
        bind: Callable[[HeldLease], S],
        ttl: Duration,
        wait: Duration,
        owner: str | None,
        max_hold: Duration | None = None,
    ) -> None:
        self.owner = leases.owner_name(owner)
        """The name that other workers see as the holder."""
        self.fence = 0
        """The fencing token of the last grant. Each grant of a session has a higher one. 0 before the first grant."""
        self.lost = tasks.Event()
        """Set when the server refuses a write or a renewal, when the ttl elapses without an answer, and after `max_hold`.

        A take-over, and the end or deletion of the session by another worker, set it within a second if this process listens
        (as a worker does), else at the next renewal. Cleared when a later renewal finds that no other worker took the lease.
        """
        self._session = session
        self._bind = bind
        self._max_hold_ms = leases.max_hold_ms(max_hold)
        self._ttl_ms = min(leases.lease_ttl(ttl), self._max_hold_ms or leases.MAX_TTL_MS)
        self._wait_ms = leases.lease_wait(wait)
        self._held: HeldLease | None = None
        self._renewer: LeaseRenewer | None = None

    @property
    def is_held(self) -> bool:
        """True if the lease was acquired, is not released and is not known to be lost. Only a write can be sure."""
        return self._held is not None and self._held.is_open and self._held.state is LeaseState.HELD

    @property
    def session(self) -> S:
        """A handle that writes under this lease in any thread or task. Raises LeaseLost when the lease is not held."""
        return self._bind(self._require())

    def _require(self) -> HeldLease:
        if self._held is None or not self._held.is_open:
            detail = "it was released" if self.fence else "it was never acquired"
            raise LeaseLost(session_id=self._session.id, fence=self.fence, holder="-", detail=detail)
        return self._held

    # -- acquire, renew, release ---------------------------------------------------------------------------------

    def acquire(self) -> Self:
        """Acquire the lease, or wait for it: first come, first served.

        Returns:
            The lease itself. The calling task holds it until `release()`.

        Raises:
            SessionLocked: another worker held the lease for the whole of `wait`.
            BoundExceeded: 1,000 workers wait for the lease already (bound `waiters`).
            InvalidInput: this task holds the lease already.
            SessionNotFound, SessionReplaced: the session is gone.
            StoreUnavailable, OutcomeUnknown, NotReplicated: the server did not answer for `retry_for` after `wait`.

        Cost: one round trip when the lease is free. The release wakes a waiter, which does not poll.
        """
        current = lease_context.current_lease(self._session._address)
        if self.is_held or (current is not None and current.is_open and current.state is LeaseState.HELD):
            raise InvalidInput(name="lease", detail=f"this task already holds the lease on {self._session.id!r}")
        nonce = secrets.token_hex(8)
        try:
            grant = self._wait(nonce)
        except BaseException as problem:
            if not isinstance(problem, SessionsError) or isinstance(problem, _UNANSWERED):
                tasks.spawn(self._withdraw, nonce)  # cancelled or unanswered: the next waiter must not wait for us
            raise
        lease_context.push(self._hold(grant, nonce))
        return self

    def _hold(self, grant: Grant, nonce: str) -> HeldLease:
        grant = grant if grant.granted_at else grant._replace(granted_at=time.monotonic())
        session, token = self._session, f"{grant.fence} {nonce}"
        session._learn(grant.incarnation)
        self.fence = grant.fence
        self._held = HeldLease(session._address, token, session.id, self.owner)
        self._held.telemetry = session._context.telemetry
        self.lost = self._held.lost
        self._renewer = LeaseRenewer(
            session._context, session._keys, self._held, grant, self._ttl_ms, self._max_hold_ms
        )
        self._renewer.start(grant)
        return self._held

    def _wait(self, nonce: str) -> Grant:
        hub = self._session._context.hub
        due = time.monotonic() + self._wait_ms / 1000
        if self._wait_ms == 0 or not hub.is_subscribed:
            try:
                return self._request(nonce, 0)
            except SessionLocked:
                if self._wait_ms == 0:
                    raise
        notifications = hub.register(nonce)
        try:
            while True:
                can_hear = hub.try_subscribe()
                left_ms = max(round((due - time.monotonic()) * 1000), 0)
                grant = self._request(nonce, left_ms)  # with 0 ms left the script grants or refuses
                if grant.fence:
                    return grant
                pause = grant.ms / 1000 + _CLOCK_MARGIN_SECONDS if can_hear else RETRY_SUBSCRIBE_SECONDS
                until = min(due, time.monotonic() + pause)
                while (heard := notifications.get(until - time.monotonic())) is not None and heard.word == "held":
                    held = min(heard.ms / 1000, _MAX_HEARD_SECONDS)  # a notification can be forged
                    until = min(due, time.monotonic() + held + _CLOCK_MARGIN_SECONDS)
        finally:
            hub.unregister(nonce)

    def _request(self, nonce: str, wait_ms: int) -> Grant:
        session, hub = self._session, self._session._context.hub
        call = leases.acquire(
            session._keys,
            session._incarnation,
            nonce,
            self.owner,
            self._ttl_ms,
            wait_ms,
            hub.channel,
            hub.counts_receivers,
            session._context.bounds.waiters,
        )
        began = time.monotonic()
        grant = session._run(call)
        return grant._replace(granted_at=began)

    def _withdraw(self, nonce: str) -> None:
        session = self._session
        with suppress(SessionsError):  # else the place among the waiters, or the grant, runs out by itself
            token = session._executor.run(leases.withdraw(session._keys, session._incarnation, nonce))
            if token:
                session._executor.run(leases.release(session._keys, session._incarnation, token))

    def renew(self) -> None:
        """Make the lease last its whole ttl from now. The background does so by itself at a third of the ttl.

        Raises LeaseLost when another worker holds the lease or `max_hold` is over, SessionNotFound, and SessionNotActive when
        the session has ended. All set `lost`.

        Cost: one round trip.
        """
        self._require()
        assert self._renewer is not None
        self._renewer.renew()

    def _set_ttl(self, ttl_ms: int) -> None:
        self._ttl_ms = ttl_ms
        if self._renewer is not None:
            self._renewer.ttl_ms = ttl_ms

    def release(self, *, force: bool = False, fence: int | None = None) -> int:
        """Release the lease: the messages of the inbox enter the transcript, and the next waiter holds the lease.

        Args:
            force: end the lease of any holder. For operators: the holder's writes are refused from then on.
            fence: like `force`, but only if the current grant has this fence.

        Returns:
            The number of messages that left the inbox. A limit of the session can keep messages there.

        Raises:
            LeaseLost: the lease is not held.
            SessionNotFound, SessionReplaced: the session is gone.
            InvalidInput: `force` or `fence` is not valid.

        Cost: one round trip, atomic. Two with `force` or `fence`, and three for a run. One more for each part of a long inbox, as
        with `receive`.
        """
        session = self._session
        if flag(force, "force") or fence is not None:
            return self._force_release(0 if fence is None else whole(fence, "fence", minimum=1))
        held = self._require()
        assert self._renewer is not None
        held.apply(LeaseEvent.RELEASE_REQUESTED)  # in any case, because a lease without a user must not be renewed
        self._renewer.stop()
        lease_context.pop(held)
        try:
            released = session._executor.run(leases.release(session._keys, session._incarnation, held.token))
        except (LeaseLost, SessionNotFound):
            held.apply(LeaseEvent.REFUSED)
            self._held = None  # the end of the block does not release the lease again
            raise
        held.apply(LeaseEvent.RELEASED)
        self._renewer.remove_from_index()
        if released.has_turn:
            session._context.run_queues.advance_later(session._keys)
        return released.taken

    def _force_release(self, fence: int) -> int:
        """Take the lease from its holder, so that the holder's writes are refused, and release it."""
        keys, incarnation, executor = self._session._keys, self._session._incarnation, self._session._executor
        nonce = secrets.token_hex(8)
        token = executor.run(leases.take_over(keys, incarnation, nonce, self.owner, fence))
        released = executor.run(leases.release(keys, incarnation, token))
        if released.has_turn or agent_of(keys.id):  # a run or turn that it held can be claimed by another worker
            # Not in the background, because the process of an operator may end now.
            self._session._context.run_queues.advance(keys)
        self._session._context.auditor.record(
            "force_release", session_id=keys.id, details={"fence": int(token.split()[0])}
        )
        return released.taken

    def _end(self) -> None:
        """Stop renewing, because the session ended under the lease."""
        if self._held is not None and self._renewer is not None:
            self._held.apply(LeaseEvent.SESSION_ENDED)
            self._renewer.stop()
            self._renewer.remove_from_index()

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is None or not self._held.is_open:
            return
        try:
            self.release()
        except SessionNotFound:
            pass  # deleted under the lease: nothing is left to release
        except SessionsError:
            if error is None:
                raise  # else the error that broke the block says more

    # -- the inbox -----------------------------------------------------------------------------------------------

    def receive(self) -> list[Message]:
        """Move the messages of the inbox into the transcript: once, in order, all or none.

        An inbox of more than 500 messages, or of more than about 1 MB, enters in parts. Each part is complete in itself.

        Returns:
            The messages that entered the transcript.

        Raises:
            LeaseLost: the lease is not held.
            SessionNotActive: the session is paused or has ended.
            LimitExceeded: a limit of the session refuses the messages, which stay in the inbox. If parts entered before, the call
                returns these, and the next call raises.

        Cost: one round trip for each part. Each is atomic.
        """
        session = self._session
        held = self._require()
        received: list[Message] = []
        try:
            has_more = True
            while has_more:
                part = session._executor.run(inbox.drain(session._keys, session._incarnation, held.token))
                received += part.messages
                has_more = part.has_more
            return received
        except LeaseLost:
            held.apply(LeaseEvent.REFUSED)
            raise
        except LimitExceeded as problem:
            if received:
                return received
            session._context.run_queues.finish_limit_end(session._keys, session._incarnation, problem)
            raise

    def info(self) -> LeaseInfo | None:
        """Return the holder, the waiters and the size of the inbox, or None when the lease is free.

        Cost: one round trip.
        """
        session = self._session
        return session._executor.run(leases.info(session._keys, session._incarnation))

    def __repr__(self) -> str:
        state = f"fence {self.fence}" if self.is_held else "not held"
        return f"{type(self).__name__}({self._session.id!r}, {state})"
