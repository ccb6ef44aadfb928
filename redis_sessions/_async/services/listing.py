"""List sessions: pages in an exact order, made of index entries, which are hints, and of what the sessions say themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from ..._core.commands import index_entries, list_pages
from ..._core.commands.list_pages import DirtySessions, IndexSlice
from ..._core.commands.list_query import Position, Query, Row
from ..._core.protocol.call import Call
from ..._core.protocol.keys import EntryKeys, session_keys
from ...errors import SessionsError
from ...models.pages import Page
from ...models.summaries import SessionSummary
from ..transport import tasks
from .context import CacheContext

_READ_TIMES_ABOVE = 4
"""If a page has more candidates than this many pages, their times are read before the sessions."""
Rows: TypeAlias = dict[str, Row | None]


class SessionLister:
    """The lists of one cache's sessions."""

    def __init__(self, context: CacheContext) -> None:
        self._context = context

    async def page(self, query: Query, cursor: str | None) -> Page[SessionSummary]:
        """Return one page."""
        found = await self._page(query, cursor)
        return Page([row.summary for row in found.items], found.cursor)

    async def _page(self, query: Query, cursor: str | None) -> Page[Row]:
        """Return one page of rows.

        Cost: one round trip for the indexes, two in a cluster, one for the sessions, two when many are dirty or gone.
        """
        below = query.position(cursor)
        if query.limit == 0 or not query.kinds:
            return Page([], None)
        groups = query.indexes(self._context.namespace)
        dirty, slices = await self._read(query, groups, below)
        floors = [one.floor for one in slices if one.floor is not None]
        lowest = max(floors, default=None)
        entries = sorted({entry for one in slices for entry in one.entries}, reverse=True)
        wanted = query.entries_per_page
        cut = entries[wanted - 1].time if len(entries) >= wanted else None
        ids = [*{*[entry.id for entry in entries if cut is None or entry.time >= cut], *dirty}]
        is_separate, newest = self._context.run_queues.is_separate, None
        if len(ids) > _READ_TIMES_ABOVE * wanted and not is_separate:
            ids, newest = await self._newest(query, ids, below)
        found = await self._rows(ids, slices[0].now_us)
        exact_from = max((time for time in (cut, lowest, newest) if time is not None), default=None)
        rows = _select(query, found, below, exact_from)
        if len(rows) < query.limit and exact_from != lowest and newest is None and not is_separate:
            rest = [entry.id for entry in entries if entry.id not in found]
            found |= await self._rows(rest, slices[0].now_us)
            exact_from = lowest
            rows = _select(query, found, below, exact_from)
        self._repair(query, groups, slices, found, dirty)
        items = rows[: query.limit]
        if len(rows) > query.limit or (len(rows) == query.limit and exact_from is not None):
            return Page(items, query.cursor(query.position_of(rows[query.limit - 1])))
        return Page(items, None if exact_from is None else query.cursor(Position(exact_from, "")))

    async def _read(
        self, query: Query, groups: Sequence[Sequence[EntryKeys]], below: Position
    ) -> tuple[list[str], list[IndexSlice]]:
        """Return the dirty sessions and the index entries.

        The dirty sessions must be read first: a session whose mark was just removed would be missed otherwise.
        """
        context = self._context
        dirty_calls = [list_pages.list_dirty(query, shard) for shard in index_entries.all_shards(context.namespace)]
        scans = [list_pages.scan(query, group, below) for group in groups]
        if context.run_queues.is_separate:
            found: list[Any] = [
                *await context.executor.try_many(dirty_calls),
                *await context.executor.try_many(scans),
            ]
        else:
            found = await context.executor.try_many([*dirty_calls, *scans])
        slices = [
            await context.executor.run(call) if isinstance(result, SessionsError) else result
            for call, result in zip(scans, found[len(dirty_calls) :], strict=True)
        ]
        dirty = [
            one for one in found[: len(dirty_calls)] if isinstance(one, DirtySessions)
        ]  # hints: errors are skipped
        context.indexer.check_later([id for one in dirty for id in one.due])
        return [id for one in dirty for id in one.ids], slices

    async def _newest(self, query: Query, ids: Sequence[str], below: Position) -> tuple[list[str], int | None]:
        """Return the first of many sessions behind a position, and the time of the last of them if there are more."""
        keys = [session_keys(self._context.namespace, id) for id in ids]
        found = await self._context.executor.get_many(list_pages.read_times(query, keys))
        times = zip([time for some in found for time in some], ids, strict=True)
        places = sorted((one for one in times if one[0] and one < below), reverse=True)
        chosen = places[: query.entries_per_page]
        return [id for _, id in chosen], chosen[-1][0] if len(places) > len(chosen) else None

    async def _rows(self, ids: Sequence[str], now_us: int) -> Rows:
        context = self._context
        keys = [session_keys(context.namespace, id) for id in ids]
        calls = list_pages.read_rows(keys, now_us, is_separate=context.run_queues.is_separate)
        found = await context.executor.get_many(calls)
        return dict(zip(ids, [row for some in found for row in some], strict=True))

    def _repair(
        self,
        query: Query,
        groups: Sequence[Sequence[EntryKeys]],
        slices: Sequence[IndexSlice],
        found: Rows,
        dirty: Sequence[str],
    ) -> None:
        """Remove wrong entries in the background, and have their sessions checked."""
        known = set(dirty)
        removals = []
        for one, group in zip(slices, groups, strict=True):
            wrong = []
            for entry in one.entries:
                row = found.get(entry.id)
                is_wrong = row is None or not query.is_listed_correctly(row.summary)
                if entry.id in found and is_wrong and not list_pages.is_recent(entry, one.now_us):
                    wrong.append(entry.id)
                elif row is not None and query.position_of(row).time != entry.time and entry.id not in known:
                    self._context.indexer.check_later([entry.id])  # its dirty mark was lost
            self._context.indexer.check_later(wrong)
            as_of_us = one.now_us - index_entries.WRITER_GRACE_MS * 1000
            removals += [index_entries.remove(index, wrong, as_of_us) for index in group if wrong]
        if removals:
            tasks.spawn(self._run_quietly, removals)

    async def _run_quietly(self, calls: Sequence[Call[None]]) -> None:
        with suppress(SessionsError):
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
        await self._context.indexer.flush(1.0)  # what this process wrote
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


def _select(query: Query, found: Rows, below: Position, exact_from: int | None) -> list[Row]:
    """Return the rows of a page that begins below a position, newest first, down to the time from which all were read."""
    rows = [row for row in found.values() if row is not None and query.matches(row.summary)]
    rows = [row for row in rows if query.position_of(row) < below]
    rows = [row for row in rows if exact_from is None or query.position_of(row).time >= exact_from]
    return sorted(rows, key=query.position_of, reverse=True)
