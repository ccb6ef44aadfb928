"""List sessions: pages of index entries, which are hints, and of what the sessions say themselves."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

from ..._core.commands import index_entries, list_pages, sessions
from ..._core.commands.list_pages import AnyRow, IndexEntry
from ..._core.commands.list_query import DamagedRow, Position, Query, Row
from ..._core.protocol.call import Call
from ..._core.protocol.keys import EntryKeys, session_keys
from ...errors import SessionsError
from ...models.pages import Page
from ...models.summaries import SessionSummary
from ..transport import tasks
from .context import CacheContext

_MIN_LOOKED_AT = 1000
"""Entries that a page looks at before it ends with fewer sessions than its limit, or four times the limit if that is more."""
Rows: TypeAlias = dict[str, AnyRow | None]


class Entries(NamedTuple):
    """Index entries behind a position, in the order of the query, without a gap."""

    entries: list[IndexEntry]
    is_last: bool
    now_us: int


class SessionLister:
    """The lists of one cache's sessions."""

    def __init__(self, context: CacheContext) -> None:
        self._context = context
        self.damaged: list[IndexEntry] = []
        """The entries of damaged sessions that the lists of this object passed over."""

    async def page(self, query: Query, cursor: str | None) -> Page[SessionSummary]:
        """Return one page."""
        found = await self._page(query, cursor)
        return Page([row.summary for row in found.items], found.cursor)

    async def _page(self, query: Query, cursor: str | None) -> Page[Row]:
        """Return one page of rows, in the order of their own times.

        Cost: two round trips, one for the index and one for the sessions. Two more for the repair of sessions that this process
        wrote last, before a first page, and two for each further part when many entries are wrong.
        """
        position = query.position(cursor)
        if query.limit == 0 or not query.kinds:
            return Page([], None)
        if cursor is None:
            await self._context.indexer.repair_own()
        items: list[Row] = []
        shown: set[str] = set()
        left = max(_MIN_LOOKED_AT, 4 * query.limit)
        wanted = query.entries_to_read
        while True:
            found = await self.entries(query, position, wanted)
            rows = await self._rows([entry.id for entry in found.entries], found.now_us, query.state)
            self._mend(query, found, rows)
            for at, entry in enumerate(found.entries, 1):
                row = rows[entry.id]
                if isinstance(row, Row) and entry.id not in shown and query.matches(row.summary):
                    items.append(row)
                    shown.add(entry.id)
                if len(items) == query.limit:
                    is_last = found.is_last and at == len(found.entries)
                    return _page_of(query, items, None if is_last else Position(*entry))
            left -= len(found.entries)
            if found.is_last:
                return _page_of(query, items, None)
            position = Position(*found.entries[-1])
            if left <= 0:
                return _page_of(query, items, position)
            wanted = min(2 * wanted, left)

    async def entries(self, query: Query, behind: Position, wanted: int) -> Entries:
        """Return about as many entries as are wanted, at least one unless they are the last."""
        context = self._context
        groups = query.indexes(context.namespace)
        if not context.run_queues.is_cluster:
            groups = [[index for group in groups for index in group]]
        calls = [list_pages.scan(query, group, behind, wanted) for group in groups]
        slices = await context.executor.get_many(calls)
        floors = [one.floor for one in slices if one.floor is not None]
        entries = {entry for one in slices for entry in one.entries}
        if query.ascending:
            end = min(floors, default=math.inf)
            whole = sorted(entry for entry in entries if entry > behind and entry.time <= end)
        else:
            end = max(floors, default=-math.inf)
            whole = sorted((entry for entry in entries if entry < behind and entry.time >= end), reverse=True)
        return Entries(whole, not floors, slices[0].now_us)

    async def _rows(self, ids: Sequence[str], now_us: int, state: Sequence[str]) -> Rows:
        context = self._context
        keys = [session_keys(context.namespace, id) for id in ids]
        found: list[AnyRow | None] = []
        if context.run_queues.is_cluster:
            parts = await context.executor.get_many([list_pages.read_rows([one], now_us, state) for one in keys])
            found = [row for part in parts for row in part]
        while len(found) < len(keys):
            part = keys[len(found) : len(found) + list_pages.MAX_ROWS]
            rows = await context.executor.run(list_pages.read_rows(part, now_us, state))
            found += rows
        return dict(zip(ids, found, strict=True))

    def _mend(self, query: Query, found: Entries, rows: Rows) -> None:
        """Remove entries of sessions that are gone or listed elsewhere, and have those repaired that lag. In the background."""
        wrong, behind = [], []
        for entry in found.entries:
            row = rows[entry.id]
            if isinstance(row, DamagedRow):
                self.damaged.append(entry)
                continue
            if row is None or not query.is_listed_correctly(row.summary):
                if not list_pages.is_recent(entry, found.now_us):
                    wrong.append(entry.id)
            elif list_pages.is_behind(entry, row, query) or (query.active_only and row.summary.finished_at is not None):
                behind.append(entry.id)
        self._context.indexer.repair_later(behind)
        if wrong:
            indexes = [index for group in query.indexes(self._context.namespace) for index in group]
            tasks.spawn(self._remove, indexes, wrong, found.now_us)

    async def _remove(self, indexes: Sequence[EntryKeys], ids: Sequence[str], now_us: int) -> None:
        latest_us = now_us - index_entries.CREATION_GRACE_MS * 1000
        is_cluster = self._context.run_queues.is_cluster
        calls: list[Call[Any]] = index_entries.remove(indexes, ids, latest_us, is_cluster=is_cluster)
        calls += [sessions.remove_rest(session_keys(self._context.namespace, id)) for id in ids]
        with suppress(SessionsError):  # the next list that meets them removes them
            await self._context.executor.run_many(calls)

    async def server_time(self) -> int:
        """Return the time of a server, in microseconds."""
        return await self._context.executor.run(index_entries.server_time(self._context.namespace))

    async def count(self, query: Query) -> int:
        """Count sessions: by the index in one round trip if one index holds exactly these, else by listing them."""
        if not query.has_one_filter:
            found = 0
            async for _ in self.iterate(query):
                found += 1
            return found
        with suppress(SessionsError):
            await self._context.indexer.flush()  # what this process wrote
        counts = [
            list_pages.count_entries(zset, index)
            for group in query.indexes(self._context.namespace)
            for index in group
            for zset in query.zsets(index)
        ]
        return sum(await self._context.executor.get_many(counts))

    async def iterate(self, query: Query) -> AsyncIterator[SessionSummary]:
        """Yield all sessions, page by page."""
        async for row in self.rows(query):
            yield row.summary

    async def rows(self, query: Query, cursor: str | None = None) -> AsyncIterator[Row]:
        """Yield the rows of all sessions, from a cursor on."""
        while True:
            found = await self._page(query, cursor)
            for row in found.items:
                yield row
            cursor = found.cursor
            if cursor is None:
                return


def _page_of(query: Query, items: Sequence[Row], last: Position | None) -> Page[Row]:
    """Return the page of these rows, in the order of their own times, that ends with an entry."""
    ordered = sorted(items, key=query.position_of, reverse=not query.ascending)
    return Page(ordered, None if last is None else query.cursor(last))
