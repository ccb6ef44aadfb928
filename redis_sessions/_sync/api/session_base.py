# Generated from _async/api/session_base.py by tools/mirror.py; edit that file.
"""The base of every group of session methods: the session's keys, its incarnation, and the lease it writes under."""

from __future__ import annotations

from typing import TypeVar

from ..._core.protocol.call import Call
from ..._core.protocol.keys import SessionKeys
from ..._pickling import NotPicklable
from ...errors import LeaseLost
from ..services import lease_context
from ..services.context import CacheContext
from ..services.lease_context import HeldLease
from ..transport.executor import Executor
from .session_state import State, Variables

T = TypeVar("T")


class SessionBase(NotPicklable):
    """One session of a cache."""

    _instead = "send its `id`, and call `session(id)` of a cache there"

    def __init__(
        self, context: CacheContext, keys: SessionKeys, incarnation: str, *, lease: HeldLease | None = None
    ) -> None:
        self._context = context
        self._keys = keys
        keys.chain = context.chain
        self._incarnation = incarnation
        self._counter = context.counter
        self._seen = 0
        self._knows_format = False
        self._address = (id(context), keys.session)
        self._lease = lease

    @property
    def _executor(self) -> Executor:
        return self._context.executor

    @property
    def id(self) -> str:
        """The session's ID."""
        return self._keys.id

    @property
    def incarnation(self) -> str | None:
        """The incarnation that this handle works on, 12 hex digits. None as long as the handle does not know it."""
        return self._incarnation or None

    @property
    def met_incarnation(self) -> str | None:
        """The incarnation that the last append of this handle met. A handle of `ensure` accepts any incarnation."""
        return self.incarnation

    @property
    def state(self) -> State:
        """Named JSON values and pydantic models."""
        # A handle that kept this object would be in a circle of references.
        return State(self._keys, self._run, self._guard, self._context.bounds)

    @property
    def variables(self) -> Variables:
        """Named text."""
        return Variables(self._keys, self._run, self._guard, self._context.bounds)

    def _guard(self) -> tuple[str, str]:
        """Return what guards a write: the incarnation that this handle knows, and '<fence> <nonce>' of its lease or ''.

        Raises LeaseLost when this handle belongs to a lease that was released.
        """
        if self._lease is None:
            return self._incarnation, lease_context.write_token(self._address)
        if not self._lease.is_open:
            fence = int(self._lease.token.split()[0])
            raise LeaseLost(session_id=self.id, fence=fence, holder="-", detail="it was released")
        return self._incarnation, self._lease.token

    def _learn(self, incarnation: str, last_seq: int = 0, *, knows_format: bool = False) -> None:
        """Take note of a write: the incarnation that it met, the highest seq then, and whether a message format is stored."""
        self._incarnation = incarnation
        if last_seq > self._seen:
            self._seen = last_seq
        self._knows_format = self._knows_format or knows_format

    def _run(self, call: Call[T]) -> T:
        """Run a call. A refusal for the lease marks that lease as lost."""
        try:
            return self._executor.run(call)
        except LeaseLost:
            self._mark_lease_lost()
            raise

    def _mark_lease_lost(self) -> None:
        lease_context.mark_lost(self._lease or lease_context.current_lease(self._address))
