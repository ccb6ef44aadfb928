"""The history provider of the Microsoft Agent Framework: `Agent(…, context_providers=[RedisSessionsHistoryProvider(url=…)])`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from .. import AsyncSession, ConcurrentModification, InvalidInput, RevisionConflict, SessionNotFound
from .._durations import Duration
from ._repeats import Repeats
from ._shared import id_of, needs, text_of
from ._source import MAX_BYTES, CacheSource

with needs("agent-framework-core", "agent-framework"):
    from agent_framework import HistoryProvider, Message
    from agent_framework._sessions import filter_new_messages

_MAX_TURNS = 20
"""Times that a save is tried again because another writer came between its read and its write."""


class RedisSessionsHistoryProvider(HistoryProvider):
    """A `HistoryProvider` that keeps each session's messages, once each, also when the whole transcript is sent again.

    One object serves any number of sessions, event loops, tasks and threads.
    """

    DEFAULT_SOURCE_ID = "redis_sessions"

    def __init__(
        self,
        source_id: str = DEFAULT_SOURCE_ID,
        *,
        url: str | None = None,
        cache: Any = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        max_messages: int | None = None,
        tenant_id: str | None = None,
        application_id: str | None = None,
        agent_id: str | None = None,
        load_messages: bool = True,
        store_inputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        store_outputs: bool = True,
        **given: Any,
    ) -> None:
        """Make a provider. Nothing is sent yet.

        Args:
            source_id: the name of this provider. Providers with other names have other histories.
            url: the server. See `SessionCache.from_url`. Give exactly one of `url`, `cache` and `client`.
            cache: a cache, which stays open at `aclose`.
            client: a client of redis-py, which stays open at `aclose`.
            namespace: the namespace. Default: that of the cache, or "sessions".
            ttl: the idle life of a history. Each write extends it. Default: no end.
            max_messages: the newest messages that a history retains, 0 or more. 0 stores nothing. Default: all.
            tenant_id: a part of the name of each history, such as a customer.
            application_id: a part of the name of each history.
            agent_id: a part of the name of each history.
            load_messages: whether a run gets the history.
            store_inputs: whether the input of a run is stored.
            store_context_messages: whether messages of other providers are stored.
            store_context_from: the providers whose messages are stored. Default: all others.
            store_outputs: whether the answer of a run is stored.
            **given: other arguments of `cache.create`, such as `user_id`.

        Raises:
            InvalidInput: an argument is not valid. It is a ValueError.
        """
        super().__init__(
            text_of(source_id, "source_id"), load_messages=load_messages, store_inputs=store_inputs,
            store_context_messages=store_context_messages, store_context_from=store_context_from,
            store_outputs=store_outputs,
        )  # fmt: skip
        if max_messages is not None and (not isinstance(max_messages, int) or max_messages < 0):
            raise InvalidInput(name="max_messages", detail=f"must be None or 0 or more, got {max_messages!r}")
        scopes = {"tenant_id": tenant_id, "application_id": application_id, "agent_id": agent_id}
        for name, value in scopes.items():
            if value is not None:
                text_of(value, name)
        self.max_messages = max_messages
        self._scope = tuple(value or "" for value in scopes.values()) if any(scopes.values()) else ()
        self._source = CacheSource(type(self).__name__, url=url, cache=cache, client=client, namespace=namespace)
        self._given: dict[str, Any] = {
            "ttl": ttl, "max_messages": max_messages or None, "cap_policy": "oldest", "max_message_bytes": MAX_BYTES, **given
        }  # fmt: skip
        self._source.cache.ensure("check", **self._given)  # an option that is not valid raises here
        self._repeats = Repeats()

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """Return the history of a session, oldest message first. Cost: one round trip for each 1,000 messages or 1 MiB."""
        with suppress(SessionNotFound):
            found = await self._source.cache.session(self._id(session_id)).history()
            return [Message.from_dict(one.payload) for one in found]
        return []

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append the messages that the history does not have yet, by the framework's own comparison.

        Raises ConcurrentModification when other writers came between in each of 20 attempts.

        Cost: two round trips, two more for each time that another writer came between. One more for each further 1,000 messages.
        """
        id, cache = self._id(session_id), self._source.cache
        if not messages or self.max_messages == 0:
            return
        listed = list(messages)
        session = cache.ensure(id, **self._given)
        await self._repeats.once(listed, lambda batch_id: _save(session, listed, batch_id), place=id)

    async def clear(self, session_id: str | None) -> None:
        """Remove all messages of a session. Cost: one round trip."""
        id = self._id(session_id)
        session = self._source.cache.session(id)
        with suppress(SessionNotFound):
            await self._repeats.once(uuid4().hex, lambda batch_id: session.clear(batch_id=batch_id), place=id)

    async def aclose(self) -> None:
        """Close the connections of a provider with a `url`, which cannot be used any more. Else do nothing."""
        await self._source.close()

    def _id(self, session_id: str | None) -> str:
        return id_of(*self._scope, self.source_id, text_of(session_id, "session_id"))


async def _save(session: AsyncSession, messages: Sequence[Message], batch_id: str) -> None:
    for turn in range(_MAX_TURNS):
        rev, existing = 0, list[Message]()
        with suppress(SessionNotFound):
            found = await session.load()
            rev, existing = found.info.rev, [Message.from_dict(one.payload) for one in found.messages]
        new = filter_new_messages(existing, messages)
        if not new:
            return
        try:
            await session.append(*[one.to_dict() for one in new], batch_id=batch_id, expected_rev=rev)
        except RevisionConflict:
            await asyncio.sleep(random.uniform(0, 0.01 * (turn + 1)))
        else:
            return
    raise ConcurrentModification(session_id=session.id, tries=_MAX_TURNS)
