"""The session store of the Claude Agent SDK: transcripts of main sessions and of their subagents.

    store = RedisSessionsStore(url="redis://localhost")
    options = ClaudeAgentOptions(session_store=store)

A main transcript is a session, and each subagent's transcript is a part of that session. Entries are stored once for their
uuid.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from functools import wraps
from hashlib import sha256
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import quote, unquote
from uuid import uuid4

from .. import AsyncSession, AsyncSessionCache, InvalidInput, SessionNotFound, SessionsError
from .._durations import Duration
from ..bounds import MAX_WIRE_BYTES
from ..models.summaries import SessionSummary
from ._shared import Caches, id_of, needs, text_of

with needs("claude-agent-sdk", "claude-agent-sdk"):
    import anyio.to_thread
    import sniffio
    from claude_agent_sdk import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStore,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
        fold_session_summary,
    )

_BATCH_ENTRIES, _BATCH_BYTES, _ENTRY_EXTRA_BYTES = 500, 768 * 1024, 512
"""The entries and bytes of one append, and what is stored with each entry."""
_BATCH_CALLS = 100_000
"""More tool calls and results than an append of `_BATCH_BYTES` can have."""
_MAX_FAILED = 1000
"""Batches that failed, and whose repetition this process recognises."""
_MAX_SUMMARY_BYTES = 48 * 1024
"""A larger summary is not stored, but made again for each list."""
_CONCURRENT = 16
_SUMMARY = "claude_summary"
_Place = tuple[str, str, str | None]
"""The project, the session and the subpath of a transcript."""
P = ParamSpec("P")
T = TypeVar("T")


def _for_any_loop(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return a method that works under trio, too, which the SDK supports: there it runs in an asyncio loop of a thread."""

    @wraps(method)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if sniffio.current_async_library() == "asyncio":
            return await method(*args, **kwargs)
        found: T = await anyio.to_thread.run_sync(lambda: asyncio.run(method(*args, **kwargs)))
        return found

    return run


class RedisSessionsStore(SessionStore):
    """A session store for `ClaudeAgentOptions(session_store=…)`, for any number of event loops and threads."""

    def __init__(
        self,
        *,
        url: str | None = None,
        cache: Any = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
    ) -> None:
        """Open the store on exactly one of a URL, a cache and a redis-py client.

        Args:
            url: the URL of a server, see `SessionCache.from_url`.
            cache: a SessionCache or an AsyncSessionCache.
            client: a client of redis or redis.asyncio.
            namespace: the prefix of all keys. Default: that of the cache, else "sessions".
            ttl: the life of a session after its last append. Default: no end.

        Raises:
            InvalidInput: not exactly one source is given, or an argument is not valid.
        """
        options: dict[str, Any] = {} if cache is not None else {"bounds": {"batch_calls": _BATCH_CALLS}}
        self._caches = Caches(
            url=url, cache=cache, client=client, namespace=namespace, ttl=ttl, max_message_bytes=MAX_WIRE_BYTES, **options
        )  # fmt: skip
        self._failed: OrderedDict[tuple[_Place, str], str] = OrderedDict()
        """The batch IDs of appends that failed, by transcript and content, until another append to the transcript succeeds."""

    @_for_any_loop
    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Append entries to a transcript. An entry whose uuid the transcript has is left out.

        The same entries again, after an append of this object failed, are the same append. They are another one when the object
        has appended something else to the transcript since, because the SDK has then given the failed append up.

        Cost: one round trip for each 500 entries or 768 KiB.
        """
        place = _place(key)
        failed = self._failed.pop((place, _content(entries)), None) if self._failed else None
        append_id = failed or uuid4().hex
        try:
            for number, batch in enumerate(_batches(entries)):
                await self._append(key, batch, f"{append_id}.{number}")
        except BaseException:
            self._failed[place, _content(entries)] = append_id
            if len(self._failed) > _MAX_FAILED:
                self._failed.popitem(last=False)
            raise
        for given_up in [one for one in list(self._failed) if one[0] == place]:
            self._failed.pop(given_up, None)

    async def _append(self, key: SessionKey, batch: Sequence[SessionStoreEntry], batch_id: str) -> None:
        project, id, subpath = _place(key)
        session = self._cache.ensure(
            id_of(project, id), tags=[_tag(project)], metadata={"project_key": project, "session_id": id}
        )
        ids = [_entry_id(entry) for entry in batch]
        if subpath is None:
            await session.append_new(*batch, ids=ids, batch_id=batch_id)
        else:
            await session.part(_part_name(subpath)).append(*batch, ids=ids, batch_id=batch_id)

    @_for_any_loop
    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return all entries of a transcript, or None. One round trip for each 1,000 entries or 1 MiB."""
        session, subpath = self._session(key), _place(key)[2]
        try:
            source = session if subpath is None else session.part(_part_name(subpath))
            found = await source.history()
        except SessionNotFound:
            return None
        return [cast(SessionStoreEntry, message.payload) for message in found] or None

    @_for_any_loop
    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return the sessions of a project with the times of their last main entries. Two round trips for each 200."""
        return [
            {"session_id": str(one.metadata["session_id"]), "mtime": _mtime(one)}
            async for one in self._listed(project_key)
        ]

    @_for_any_loop
    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return the summaries of a project's sessions: what the SDK's fold makes of all their entries.

        Cost: that of `list_sessions`, and two round trips for each session that took entries since its summary was made.
        """
        listed, limit = [one async for one in self._listed(project_key)], asyncio.Semaphore(_CONCURRENT)

        async def summary(one: SessionSummary) -> SessionSummaryEntry | None:
            async with limit:
                return await self._summary(one)

        return [found for found in await asyncio.gather(*map(summary, listed)) if found is not None]

    async def _summary(self, one: SessionSummary) -> SessionSummaryEntry | None:
        """Return the summary of a session: the stored one, and what came since. None for a session that is gone."""
        id, project = str(one.metadata["session_id"]), str(one.metadata["project_key"])
        stored = one.metadata.get(_SUMMARY) or {"seq": 0, "data": {}}
        folded: SessionSummaryEntry = {"session_id": id, "mtime": _mtime(one), "data": stored["data"]}
        if stored["seq"] >= one.last_seq:
            return folded
        session = self._cache.session(one.id)
        try:
            new = await session.history(after_seq=stored["seq"])
        except SessionNotFound:
            return None
        if not new:
            return folded
        entries = [cast(SessionStoreEntry, message.payload) for message in new]
        folded = fold_session_summary(
            folded if stored["seq"] else None, {"project_key": project, "session_id": id}, entries
        )
        folded["mtime"] = max(_mtime(one), new[-1].timestamp_ms)
        await self._keep_summary(session, {"seq": new[-1].seq, "data": folded["data"]})
        return folded

    async def _keep_summary(self, session: AsyncSession, summary: dict[str, Any]) -> None:
        """Store a summary with its session, unless it would be plain text where messages are encoded.

        Without that it is made again by the next list.
        """
        chain = self._cache._context.chain
        is_plainer = chain is not None and "messages" in chain.kinds and "metadata" not in chain.kinds
        if not is_plainer and len(json.dumps(summary)) <= _MAX_SUMMARY_BYTES:
            with suppress(SessionsError):
                await session.patch(metadata={_SUMMARY: summary})

    @_for_any_loop
    async def delete(self, key: SessionKey) -> None:
        """Delete a session with the transcripts of its subagents, or one of these transcripts."""
        session, subpath = self._session(key), _place(key)[2]
        with suppress(SessionNotFound):
            if subpath is None:
                await session.delete()
            else:
                await session.part(_part_name(subpath)).delete()

    @_for_any_loop
    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Return the subpaths of a session. One round trip for each 1,000."""
        session, found, cursor = self._session(cast(SessionKey, key)), list[str](), None
        with suppress(SessionNotFound):
            while True:
                page = await session.parts(limit=1000, cursor=cursor)
                found += [unquote(one.name, errors="surrogatepass") for one in page.items if one.count]
                cursor = page.cursor
                if cursor is None:
                    break
        return found

    @_for_any_loop
    async def close(self) -> None:
        """Close the connections that this store opened."""
        await self._caches.aclose()

    @property
    def _cache(self) -> AsyncSessionCache:
        return self._caches.asynchronous

    def _session(self, key: SessionKey) -> AsyncSession:
        project, id, _ = _place(key)
        return self._cache.session(id_of(project, id))

    async def _listed(self, project: str) -> AsyncIterator[SessionSummary]:
        """Yield the sessions of a project that have main entries."""
        tag = _tag(text_of(project, "project_key"))
        async for one in self._cache.iter_sessions(tags=[tag], order="created"):  # writes do not move it in the list
            if one.last_seq and one.metadata.get("project_key") == project:
                yield one


def _place(key: SessionKey) -> _Place:
    """Return the project, the session and the subpath of a key. Raises InvalidInput."""
    project, id, subpath = key["project_key"], key["session_id"], key.get("subpath")
    if subpath == "":
        raise InvalidInput(name="subpath", detail="must not be empty: leave it out for the main transcript")
    return (
        text_of(project, "project_key"),
        text_of(id, "session_id"),
        None if subpath is None else text_of(subpath, "subpath"),
    )


def _content(entries: Sequence[SessionStoreEntry]) -> str:
    return sha256(json.dumps(entries, default=repr).encode()).hexdigest()


def _part_name(subpath: str) -> str:
    return quote(subpath, safe="/", errors="surrogatepass")


def _tag(project: str) -> str:
    return f"claude-project:{_digest(project)}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _entry_id(entry: SessionStoreEntry) -> str | None:
    """Return the ID under which an entry is stored once, None for an entry without a uuid."""
    uuid = entry.get("uuid") if isinstance(entry, dict) else None
    if not isinstance(uuid, str) or not uuid:
        return None
    is_plain = len(uuid) <= 64 and uuid.isascii() and uuid.replace("-", "").isalnum() and uuid[0] != "-"
    return uuid if is_plain else "=" + _digest(uuid)


def _mtime(one: SessionSummary) -> int:
    """Return the time of the last main entry in ms, by the server's clock."""
    at = one.updated_at if one.last_message is None else one.last_message.at
    return round(at.timestamp() * 1000)


def _batches(entries: Sequence[SessionStoreEntry]) -> Iterator[Sequence[SessionStoreEntry]]:
    """Yield the entries in batches of a bounded number and size."""
    if len(entries) == 1:
        yield entries
        return
    first = size = 0
    for at, entry in enumerate(entries):
        added = len(json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass")) + _ENTRY_EXTRA_BYTES
        if at > first and (size + added > _BATCH_BYTES or at - first == _BATCH_ENTRIES):
            yield entries[first:at]
            first, size = at, 0
        size += added
    if first < len(entries):
        yield entries[first:]
