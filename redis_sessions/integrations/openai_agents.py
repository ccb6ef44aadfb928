"""The session of the OpenAI Agents SDK: `Runner.run(agent, text, session=RedisSessionsSession(id, url=…))`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

from .. import (
    AppendResult,
    AsyncSession,
    AsyncSessionCache,
    ConcurrentModification,
    EditConflict,
    InvalidState,
    LimitExceeded,
    Message,
    RevisionConflict,
    SessionNotFound,
    SessionsError,
)
from .._durations import Duration
from ._repeats import Repeats
from ._shared import id_of, limit_of, needs, text_of
from ._source import MAX_BYTES, CacheSource

with needs("openai-agents", "openai-agents"):
    from agents.memory.session import SessionABC
    from agents.memory.session_settings import SessionSettings, coerce_session_settings, resolve_session_limit

_MAX_TURNS = 5
"""Times that a pop removes what is in its way."""


class RedisSessionsSession(SessionABC):
    """A `Session` of the OpenAI Agents SDK: the items of one conversation.

    One object serves any number of event loops, tasks and threads. Each method is atomic, and a write happens once, however
    often the library or the caller repeats it.
    """

    def __init__(
        self,
        session_id: str,
        *,
        url: str | None = None,
        cache: Any = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        **given: Any,
    ) -> None:
        """Make a session. Nothing is sent yet. The first write creates the conversation.

        Args:
            session_id: the conversation, of any characters and any length.
            url: the server. See `SessionCache.from_url`. Give exactly one of `url`, `cache` and `client`.
            cache: a cache, which stays open at `close`.
            client: a client of redis-py, which stays open at `close`.
            namespace: the deployment or tenant. Default: that of the cache, or "sessions".
            ttl: the idle life of the conversation. Each write extends it. Default: no end.
            session_settings: the settings of the SDK. `limit` is the default of `get_items`.
            **given: other arguments of `cache.create`, such as `user_id`.

        Raises:
            InvalidInput: an argument is not valid.
        """
        self.session_id = session_id
        self.session_settings = (
            SessionSettings() if session_settings is None else coerce_session_settings(session_settings)
        )
        self._id = id_of(text_of(session_id, "session_id"))
        self._source = CacheSource(type(self).__name__, url=url, cache=cache, client=client, namespace=namespace)
        options: dict[str, Any] = {"ttl": ttl, "max_messages": None, "max_message_bytes": MAX_BYTES, **given}
        self._ensured = self._source.cache.ensure(self._id, **options)
        self._repeats = Repeats()

    @classmethod
    def from_url(cls, session_id: str, *, url: str, **options: Any) -> Self:
        """Make a session for a URL. See `RedisSessionsSession`."""
        return cls(session_id, url=url, **options)

    async def get_items(self, limit: int | None = None, *, wrapper: Any = None) -> list[Any]:
        """Return the newest items, oldest first.

        Args:
            limit: the number of items, none if it is 0 or less. Default: that of the session settings, else all.
            wrapper: the run context, which has no effect.

        Cost: one round trip for each 1,000 items or 1 MiB.
        """
        size = resolve_session_limit(limit, self.session_settings)
        session = self._session
        if size is not None and size <= 0:
            return []
        try:
            found = await session.history(limit_of(size), skip_damaged=True)
        except SessionNotFound:
            return []
        return [message.payload for message in found]

    async def add_items(self, items: list[Any], *, wrapper: Any = None) -> None:
        """Append items, all or none. Cost: one round trip."""
        session = self._session
        if not items:
            return
        await self._write("add", items, lambda batch_id: session.append(*items, batch_id=batch_id))

    async def pop_item(self, *, wrapper: Any = None) -> Any | None:
        """Remove and return the newest item. None for a session without items. Of several callers each gets another item.

        Cost: one round trip. Two for an item that codecs encoded.
        """
        session = self._cache.session(self._id)
        try:
            removed = await self._repeats.once("pop", lambda batch_id: _pop(session, batch_id))
        except SessionNotFound:
            return None
        return removed[0].payload if removed else None

    async def clear_session(self, *, wrapper: Any = None) -> None:
        """Remove all items. Cost: one round trip."""
        session = self._cache.session(self._id)
        with suppress(SessionNotFound):
            await self._repeats.once(uuid4().hex, lambda batch_id: session.clear(batch_id=batch_id))

    async def ping(self) -> bool:
        """Return whether the server answers."""
        cache = self._cache
        try:
            await cache.ping()
        except SessionsError:
            return False
        return True

    async def close(self) -> None:
        """Close the connections of a session with a `url`, which cannot be used any more. Else do nothing."""
        await self._source.close()

    @property
    def _cache(self) -> AsyncSessionCache:
        return self._source.cache

    @property
    def _session(self) -> AsyncSession:
        """The handle whose first write creates the session."""
        _ = self._cache  # it raises InvalidInput after `close`
        return self._ensured

    async def _write(
        self, kind: str, items: Sequence[Any], write: Callable[[str], Awaitable[AppendResult]]
    ) -> AppendResult:
        return await self._repeats.once((kind, list(items)), write)

    # What follows is called by OpenAIResponsesCompactionSession and EncryptedSession, by these names.

    async def _atomic_replace_items(self, items: list[Any]) -> bool:
        """Replace all items in one step. Return False for a subclass, whose `add_items` may do more than this one."""
        if type(self) is not RedisSessionsSession:
            return False
        session = self._session
        with suppress(SessionNotFound):  # there is nothing to replace, and nothing to store
            await self._write("replace", items, lambda batch_id: session.replace(*items, batch_id=batch_id))
        return True

    async def _get_compaction_snapshot(self, limit: int, *, prune_prefix: Callable[[Any], bool] | None = None) -> Any:
        """Return the newest items, and a function that replaces the last of them if nothing changed since."""
        if type(self) is not RedisSessionsSession:
            return None
        from agents.memory.session import _CompactionSnapshot

        session = self._session
        rev, found, count = 0, list[Message](), 0
        with suppress(SessionNotFound):
            info, _, found, _ = await session.load(limit_of(limit))
            rev, count = info.rev, info.count

        async def replace_suffix(start: int, output: list[Any]) -> bool:
            if not found[start:]:
                return False
            after_seq, kept = found[start].seq - 1, list[Any]()
            if prune_prefix is not None:
                before = [one.payload for one in await session.history(before_seq=after_seq + 1, skip_damaged=True)]
                expired = next((at for at, item in enumerate(before) if not prune_prefix(item)), len(before))
                after_seq, kept = (0, before[expired:]) if expired else (after_seq, kept)

            def replace(batch_id: str) -> Awaitable[AppendResult]:
                return session.replace(*kept, *output, after_seq=after_seq, expected_rev=rev, batch_id=batch_id)

            try:
                await self._write("suffix", [rev, start, *output], replace)
            except (RevisionConflict, EditConflict, SessionNotFound):
                return False
            return True

        return _CompactionSnapshot([one.payload for one in found], count <= len(found), replace_suffix)


async def _pop(session: AsyncSession, batch_id: str) -> list[Message]:
    """Remove and return the newest message that can be read. Damaged messages and gaps go, if they are in the way."""
    for _ in range(_MAX_TURNS):
        try:
            return await session.pop(batch_id=batch_id)
        except (InvalidState, LimitExceeded):  # the newest message is damaged, or there is no room for another gap
            rev = (await session.info()).rev
            found = await session.history(skip_damaged=True)
            with suppress(RevisionConflict):
                await session.replace(*[one.payload for one in found], expected_rev=rev)
    raise ConcurrentModification(session_id=session.id, tries=_MAX_TURNS)
