"""The conversation store of Pydantic AI: `store = RedisSessionsConversationStore(url=…)`."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from .. import (
    AsyncSession,
    InvalidInput,
    RevisionConflict,
    SessionNotFound,
    SessionReplaced,
    SessionSummary,
    StateConflict,
    compose_id,
    split_id,
)
from .._arguments import texts
from .._durations import Duration
from ._repeats import settled
from ._shared import needs, text_of
from ._source import MAX_BYTES, CacheSource

with needs("pydantic-ai-slim", "pydantic-ai"):
    from pydantic import TypeAdapter
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )
    from pydantic_ai.messages import ModelMessagesTypeAdapter

_TAG = "pydantic-ai"
_PREFIX = "pydantic-ai"
_records = TypeAdapter(ConversationRecord)
_PAGE = 1000
"""Conversations that are listed at once, the most that `cache.list` takes."""
_MAX_PLACES = 50_000
"""Entries of which an object remembers the conversation that holds them."""


class RedisSessionsConversationStore(ConversationStore):
    """A `ConversationStore`: each conversation is a session, its entries are messages, its record is a value of the state.

    An entry and its record are written in one step, or neither. A fork copies the entries that it shares, so that each
    conversation lives and is deleted as a whole. One object serves any number of event loops, tasks and threads.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        cache: Any = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        **given: Any,
    ) -> None:
        """Make a store. Nothing is sent yet.

        Args:
            url: the server. See `SessionCache.from_url`. Give exactly one of `url`, `cache` and `client`.
            cache: a cache, which stays open at `aclose`.
            client: a client of redis-py, which stays open at `aclose`.
            namespace: the namespace. Default: that of the cache, or "sessions".
            ttl: the idle life of a conversation. Each save extends it. Default: no end.
            **given: other arguments of `cache.create`, such as `agent_id`.

        Raises:
            InvalidInput: an argument is not valid.
        """
        if "max_messages" in given:
            detail = "cannot be given: a conversation without its first entries could not be read"
            raise InvalidInput(name="max_messages", detail=detail)
        tags = [_TAG, *texts(given.pop("tags", None) or [], "tags")]
        self._source = CacheSource(type(self).__name__, url=url, cache=cache, client=client, namespace=namespace)
        self._given: dict[str, Any] = {
            "ttl": ttl, "max_messages": None, "max_message_bytes": MAX_BYTES, "tags": tags, **given
        }  # fmt: skip
        self._source.cache.ensure("check", **self._given)  # an option that is not valid raises here
        self._places: OrderedDict[str, str] = OrderedDict()

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation, or None. Cost: one round trip."""
        try:
            found = await self._session(conversation_id).state.get("record")
        except SessionNotFound:
            return None
        return None if found is None else self._record(found)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """Return the records with a scope, those that were saved last before the others.

        With a `limit` the choice is exact to 2 s, as for `cache.list`. Cost: two round trips for each 1,000 records. With a
        `limit` above 1,000, or where other programs use the tag, all records of the scope are read.
        """
        filters: dict[str, Any] = {"tags": [_TAG], "state": ["record"]}
        if scope is not None:
            filters["user_id"] = compose_id(scope)
        if limit is not None and limit <= _PAGE:  # one page has the newest
            page = await self._source.cache.list(max(limit, 0), **filters)
            found = self._records(page.items, scope)
            if page.cursor is None or len(found) >= limit:
                return _newest(found, limit)
        found, cursor = [], None
        while True:  # by creation, because a save between two pages moves a session in the order of updates
            page = await self._source.cache.list(_PAGE, cursor, **filters, order="created")
            found += self._records(page.items, scope)
            cursor = page.cursor
            if cursor is None:
                return _newest(found, limit)

    def _records(self, listed: Iterable[SessionSummary], scope: str | None) -> list[ConversationRecord]:
        """Return the records of sessions that are listed, except for those of other programs, and of another scope."""
        records = [self._record(one.state["record"]) for one in listed if one.state.get("record") is not None]
        return [record for record in records if scope is None or record.scope == scope]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record with its new entries, in one step.

        Cost: one round trip. A fork takes more: it reads the history that it shares.

        Raises:
            ConversationConflict: the stored record has another revision, or the head is an entry that is not stored.
        """
        shared = await self._shared(record, new_entries, expected_revision)
        payloads = [_payload(entry) for entry in (*shared, *new_entries)]
        state = {"record": json.loads(_records.dump_json(record)), "revision": record.revision}
        known = {"revision": expected_revision} if expected_revision is not None else {"revision": None}
        session = self._session(record.conversation_id)
        if expected_revision is None:
            given = self._given | ({} if record.scope is None else {"user_id": compose_id(record.scope)})
            session = self._source.cache.ensure(session.id, **given)
        try:
            await settled(session.append(*payloads, state=state, if_state=known))
        except (SessionNotFound, StateConflict):
            raise ConversationConflict(record.conversation_id) from None
        self._note(record.conversation_id, (*shared, *new_entries))

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a conversation with all its entries. Forks keep their own. Cost: two round trips.

        Raises ConversationConflict when the stored record has another revision.
        """
        while True:
            try:
                found = await self._session(conversation_id).load(0)
            except SessionNotFound:
                raise ConversationConflict(conversation_id) from None
            if found.state.get("revision") != expected_revision:
                raise ConversationConflict(conversation_id)
            session = self._session(conversation_id, found.info.incarnation)
            try:
                await settled(session.delete(expected_rev=found.info.rev))
            except (RevisionConflict, SessionReplaced):
                continue
            return

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry. Cost: one round trip for each 1,000 entries of its conversation.

        An entry that this object has not met is looked for in all conversations. Raises KeyError when there is none.
        """
        return (await self.read_history(entry_id))[-1]

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """Return the entries up to `head_id`, or the last `limit` of them. See `read_entry`."""
        if head_id is None or limit == 0:
            return []
        place = self._places.get(head_id)
        if place is not None:
            if limit is not None:
                line = _line(await self._log(place, limit), head_id, limit)
                if line is not None:
                    return line
            line = _line(await self._log(place), head_id, limit)
            if line is not None:
                return line
        async for summary in self._source.cache.iter_sessions(tags=[_TAG], order="created"):
            if not summary.id.startswith(f"{_PREFIX}/"):
                continue  # another program gave its session this tag
            conversation_id = split_id(summary.id)[1]
            log = await self._log(conversation_id)
            line = _line(log, head_id, limit)
            if line is not None:
                self._note(conversation_id, log.values())
                return line
        raise KeyError(head_id)

    async def aclose(self) -> None:
        """Close the connections of a store with a `url`, which cannot be used any more. Else do nothing."""
        await self._source.close()

    def _session(self, conversation_id: str, incarnation: str | None = None) -> AsyncSession:
        id = compose_id(_PREFIX, text_of(conversation_id, "conversation_id"))
        return self._source.cache.session(id, incarnation=incarnation)

    def _record(self, stored: Any) -> ConversationRecord:
        record = _records.validate_json(json.dumps(stored))
        self._place(record.conversation_id, [one for one in (record.head_id, *record.branches) if one is not None])
        return record

    async def _log(self, conversation_id: str, limit: int | None = None) -> dict[str, ConversationEntry]:
        """Return the entries that a conversation holds, by ID, oldest first."""
        try:
            found = await self._session(conversation_id).history(limit)
        except SessionNotFound:
            return {}
        links = [one.payload["entry"] for one in found]
        messages = ModelMessagesTypeAdapter.validate_json(json.dumps([_message(one.payload) for one in found]))
        entries = [
            ConversationEntry(id=link["id"], parent_id=link["parent_id"], kind=link["kind"], message=message)
            for link, message in zip(links, messages, strict=True)
        ]
        self._note(conversation_id, entries)
        return {entry.id: entry for entry in entries}

    async def _shared(
        self, record: ConversationRecord, new_entries: Sequence[ConversationEntry], expected_revision: str | None
    ) -> list[ConversationEntry]:
        """Return the entries of other conversations that the history of a record begins with. Raises ConversationConflict."""
        new_ids = {entry.id for entry in new_entries}
        first = new_entries[0].parent_id if new_entries else record.head_id
        is_there = record.head_id is None or record.head_id in new_ids
        if is_there and (first is None or (expected_revision and self._places.get(first) == record.conversation_id)):
            return []
        if not is_there:
            first = record.head_id
        own = await self._log(record.conversation_id) if expected_revision is not None else {}
        if first in own:
            return []
        try:
            line = await self.read_history(first)
        except KeyError:
            if is_there:
                return []
            raise ConversationConflict(record.conversation_id) from None
        return [entry for entry in line if entry.id not in own]

    def _note(self, conversation_id: str, entries: Iterable[ConversationEntry]) -> None:
        self._place(conversation_id, [entry.id for entry in entries])

    def _place(self, conversation_id: str, ids: Iterable[str]) -> None:
        """Remember which conversation holds entries."""
        for id in ids:
            self._places[id] = conversation_id
        while len(self._places) > _MAX_PLACES:
            self._places.popitem(last=False)


def _newest(records: Iterable[ConversationRecord], limit: int | None) -> list[ConversationRecord]:
    return sorted(records, key=lambda record: record.updated_at, reverse=True)[:limit]


def _line(log: dict[str, ConversationEntry], head_id: str, limit: int | None) -> list[ConversationEntry] | None:
    """Return the entries of a log up to a head, oldest first, or None if one of them is not there."""
    line, at = list[ConversationEntry](), head_id
    while limit is None or len(line) < limit:
        entry = log.get(at)
        if entry is None:
            return None
        line.append(entry)
        if entry.parent_id is None:
            break
        at = entry.parent_id
    return line[::-1]


def _payload(entry: ConversationEntry) -> dict[str, Any]:
    (message,) = json.loads(ModelMessagesTypeAdapter.dump_json([entry.message]))
    return {**message, "entry": {"id": entry.id, "parent_id": entry.parent_id, "kind": entry.kind}}


def _message(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name != "entry"}
