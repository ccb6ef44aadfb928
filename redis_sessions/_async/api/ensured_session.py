"""The handle on a session that its first write creates."""

from __future__ import annotations

from copy import copy
from typing import Any, TypeVar

from ..._core.commands.creation import Creation, can_create, made_by
from ..._core.protocol.call import Call
from ..._core.protocol.ids import new_incarnation
from ..._core.protocol.keys import SessionKeys
from ...errors import LeaseLost, SessionNotFound
from ..services.context import CacheContext
from .session import AsyncSession

T = TypeVar("T")


class AsyncEnsuredSession(AsyncSession):
    """A handle of `cache.ensure`. The handle works on any session that has the ID, so it pins no incarnation and no seq."""

    def __init__(self, context: CacheContext, keys: SessionKeys, creation: Creation) -> None:
        super().__init__(context, keys, "")
        self._creation = creation
        self._met: str | None = None

    @property
    def met_incarnation(self) -> str | None:
        """The incarnation that the last append of this handle met. None before. The next write may meet another one."""
        return self._met

    def _learn(self, incarnation: str, last_seq: int = 0, *, knows_format: bool = False) -> None:
        """Keep nothing but the incarnation that the write met."""
        self._met = incarnation or None

    async def _run(self, call: Call[T]) -> T:
        """Run a call. A write that this process did not see the session take creates the session if need be."""
        if not can_create(call):
            return await super()._run(call)
        if self._context.indexer.is_known(self.id):
            plain = copy(call)
            try:
                return await super()._run(plain)
            except SessionNotFound:
                pass  # it was deleted, or it expired
        return await self._run_creating(call)

    async def _run_creating(self, call: Call[T]) -> T:
        creation, incarnation = self._creation, new_incarnation()
        creation.precede(call, self._keys, incarnation)
        agent = creation.fields.get("answered_by")
        if agent is not None:
            await self._context.run_queues.register_agent(str(agent))
        read, made = call.read, []

        def read_reply(reply: Any) -> T:
            made.append(made_by(reply))
            return read(reply)

        call.read = read_reply
        indexer = self._context.indexer
        with indexer.creation(self._keys, creation.fields, creation.settings.ttl_ms) as call.hints:
            try:
                return await self._executor.run(call)
            except LeaseLost:
                self._mark_lease_lost()
                raise
            finally:
                if made != [incarnation]:  # it existed, and may be listed under other values
                    indexer.forget_known(self.id)
                    indexer.repair_later([self.id])
