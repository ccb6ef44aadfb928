# Generated from ../_async/listing.py by tools/mirror.py; edit that file.
"""Lists sessions: pages in an exact order, made of indexes that are hints and of what the sessions say themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from .._core import indexes, listing
from .._core.calls import Call
from .._core.keys import EntryKeys, session_keys
from .._core.listing import Marked, Slice
from .._core.queries import Position, Query, Row
from ..errors import SessionsError
from ..models.pages import Page
from ..models.summaries import SessionSummary
from . import background
from .home import Home

_MANY = 4  # times what a page wants: of more, the times are read first
Rows: TypeAlias = dict[str, Row | None]


class Listing:
    """The sessions of one cache, as lists show them."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def page(self, asked: Query, cursor: str | None) -> Page[SessionSummary]:
        """One page."""
        found = self._page(asked, cursor)
        return Page([row.summary for row in found.items], found.cursor)

    def _page(self, asked: Query, cursor: str | None) -> Page[Row]:
        """One round trip for the indexes, two in a cluster; one for the sessions, two when many are being written, or gone."""
        below = asked.position(cursor)
        if asked.limit == 0 or not asked.kinds:
            return Page([], None)
        groups = asked.indexes(self._home.namespace)
        marked, slices = self._read(asked, groups, below)
        floors = [one.floor for one in slices if one.floor is not None]
        lowest = max(floors, default=None)
        entries = sorted({entry for one in slices for entry in one.entries}, reverse=True)
        cut = entries[asked.wanted - 1].time if len(entries) >= asked.wanted else None
        ids = [*{*[entry.id for entry in entries if cut is None or entry.time >= cut], *marked}]
        is_apart, newest = self._home.queues.is_apart, None
        if len(ids) > _MANY * asked.wanted and not is_apart:
            ids, newest = self._newest(asked, ids, below)
        found = self._rows(ids, slices[0].now)
        exact_from = max((time for time in (cut, lowest, newest) if time is not None), default=None)
        rows = _chosen(asked, found, below, exact_from)
        if len(rows) < asked.limit and exact_from != lowest and newest is None and not is_apart:
            rest = [entry.id for entry in entries if entry.id not in found]
            found |= self._rows(rest, slices[0].now)
            exact_from = lowest
            rows = _chosen(asked, found, below, exact_from)
        self._heal(asked, groups, slices, found, marked)
        items = rows[: asked.limit]
        if len(rows) > asked.limit or (len(rows) == asked.limit and exact_from is not None):
            return Page(items, asked.cursor(asked.place(rows[asked.limit - 1])))
        return Page(items, None if exact_from is None else asked.cursor(Position(exact_from, "")))

    def _read(
        self, asked: Query, groups: Sequence[Sequence[EntryKeys]], below: Position
    ) -> tuple[list[str], list[Slice]]:
        """Who is being written, and what the indexes have: in that order, or one whose mark just ended would be missed."""
        home = self._home
        marks = [listing.marked(asked, shard) for shard in indexes.shards(home.namespace)]
        pages = [listing.page(asked, group, below) for group in groups]
        if home.queues.is_apart:
            found: list[Any] = [*home.calls.try_many(marks), *home.calls.try_many(pages)]
        else:
            found = home.calls.try_many([*marks, *pages])
        slices = [
            home.calls.run(call) if isinstance(answer, SessionsError) else answer
            for call, answer in zip(pages, found[len(marks) :], strict=True)
        ]
        marked = [one for one in found[: len(marks)] if isinstance(one, Marked)]  # hints, if to be had
        home.indexes.later([id for one in marked for id in one.late])
        return [id for one in marked for id in one.ids], slices

    def _newest(self, asked: Query, ids: Sequence[str], below: Position) -> tuple[list[str], int | None]:
        """Of many, those that come first behind a place; and the time of the last of them, if there are more."""
        keys = [session_keys(self._home.namespace, id) for id in ids]
        found = self._home.calls.get_many(listing.times(asked, keys))
        times = zip([time for some in found for time in some], ids, strict=True)
        places = sorted((one for one in times if one[0] and one < below), reverse=True)
        chosen = places[: asked.wanted]
        return [id for _, id in chosen], chosen[-1][0] if len(places) > len(chosen) else None

    def _rows(self, ids: Sequence[str], now: int) -> Rows:
        keys = [session_keys(self._home.namespace, id) for id in ids]
        found = self._home.calls.get_many(listing.rows(keys, now, is_apart=self._home.queues.is_apart))
        return dict(zip(ids, [row for some in found for row in some], strict=True))

    def _heal(
        self,
        asked: Query,
        groups: Sequence[Sequence[EntryKeys]],
        slices: Sequence[Slice],
        found: Rows,
        marked: Sequence[str],
    ) -> None:
        """Takes entries out that are wrong, in the background, and has their sessions looked at."""
        known = set(marked)
        drops = []
        for one, group in zip(slices, groups, strict=True):
            wrong = []
            for entry in one.entries:
                row = found.get(entry.id)
                is_wrong = row is None or not asked.is_listed_rightly(row.summary)
                if entry.id in found and is_wrong and not listing.is_young(entry, one.now):
                    wrong.append(entry.id)
                elif row is not None and asked.place(row).time != entry.time and entry.id not in known:
                    self._home.indexes.later([entry.id])  # its mark was lost
            self._home.indexes.later(wrong)
            drops += [indexes.gone(index, wrong, one.now - indexes.GRACE_MS * 1000) for index in group if wrong]
        if drops:
            background.spawn(self._drop, drops)

    def _drop(self, drops: Sequence[Call[None]]) -> None:
        with suppress(SessionsError):
            self._home.calls.run_many(drops)

    def now(self) -> int:
        """The time of a server, in microseconds."""
        return self._home.calls.run(indexes.clock(self._home.namespace))

    def count(self, asked: Query) -> int:
        """How many there are: by the indexes, in one round trip, when one of them has just these; else by listing them."""
        if not asked.is_narrow:
            found = 0
            for _ in self.every(asked):
                found += 1
            return found
        self._home.indexes.catch_up(1.0)  # of what this process wrote
        sizes = [
            listing.counted(zset, index)
            for group in asked.indexes(self._home.namespace)
            for index in group
            for zset in asked.zsets(index)
        ]
        return sum(self._home.calls.get_many(sizes))

    def every(self, asked: Query) -> Iterator[SessionSummary]:
        """All of them, page by page."""
        for row in self.rows(asked):
            yield row.summary

    def rows(self, asked: Query, cursor: str | None = None) -> Iterator[Row]:
        """All of them, with what is not shown, from a cursor on."""
        while True:
            found = self._page(asked, cursor)
            for row in found.items:
                yield row
            cursor = found.cursor
            if cursor is None:
                return


def _chosen(asked: Query, found: Rows, below: Position, exact_from: int | None) -> list[Row]:
    """Those that belong on a page that begins there, or behind it, newest first."""
    rows = [row for row in found.values() if row is not None and asked.fits(row.summary)]
    rows = [row for row in rows if asked.place(row) < below]
    rows = [row for row in rows if exact_from is None or asked.place(row).time >= exact_from]
    return sorted(rows, key=asked.place, reverse=True)
