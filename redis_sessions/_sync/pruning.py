# Generated from ../_async/pruning.py by tools/mirror.py; edit that file.
"""Removes sessions that are old, or too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .._core import indexes, listing, queries, sessions
from .._core.keys import index_keys, session_keys
from .._core.queries import Position, Row
from ..errors import SessionsError
from .home import Home
from .listing import Listing

_AT_ONCE = 100


class Pruning:
    """One pass over the sessions of a cache, newest first: what is behind the limits goes."""

    def __init__(self, home: Home, sessions: Listing) -> None:
        self._home = home
        self._sessions = sessions

    def may_begin(self, cooldown_ms: int) -> bool:
        """Whether nobody of the whole fleet did so within the cooldown; if so, the next one has to wait for it."""
        keys = index_keys(self._home.namespace, "pruned")
        return cooldown_ms == 0 or self._home.calls.run(listing.throttle(keys, cooldown_ms))

    def run(self, most: int, age_ms: int, dry_run: bool, progress: Callable[[int], None] | None) -> int:
        """How many were removed, or would be."""
        removed = 0
        some: list[Row] = []
        for row in self._behind(most, age_ms):
            some.append(row)
            if len(some) == _AT_ONCE:
                removed += len(some) if dry_run else self._remove(some)
                some = []
                if progress is not None:
                    progress(removed)
        removed += len(some) if dry_run else self._remove(some)
        if progress is not None:
            progress(removed)
        return removed

    def _behind(self, most: int, age_ms: int) -> Iterator[Row]:
        """Roots that are beyond the limits and not in use."""
        now = self._home.calls.run(indexes.clock(self._home.namespace))
        cutoff = now - age_ms * 1000 if age_ms else 0
        asked = queries.query(limit=_AT_ONCE * 2)
        cursor = asked.cursor(Position(cutoff, "")) if most == 0 else None
        kept = 0
        for row in self._sessions.rows(asked, cursor):
            if row.summary.root_id is not None:
                continue  # it goes with its root
            if row.updated >= cutoff and (most == 0 or kept < most):
                kept += 1
            elif row.summary.holder is None and row.summary.active_below == 0:
                yield row

    def _remove(self, rows: Sequence[Row]) -> int:
        """Removes those that have not moved on meanwhile, with all that are below them; says how many roots."""
        if not rows:
            return 0
        home = self._home
        keys = [session_keys(home.namespace, row.summary.id) for row in rows]
        home.calls.run_many([home.indexes.mark(one, [one.id]) for one in keys])
        calls = [sessions.delete(one, row.life, "", row.updated) for one, row in zip(keys, rows, strict=True)]
        found = home.calls.run_many(calls)
        removed = 0
        for one, row, answer in zip(keys, rows, found, strict=True):
            if isinstance(answer, SessionsError):
                continue  # replaced meanwhile, or out of reach: the next pass meets it
            was_there, number, left = answer
            removed += was_there
            if left:
                home.queues.sweep_tree(one, left, number)
                home.calls.run(sessions.delete(one, row.life, ""))
        home.indexes.settle_all([one.id for one in keys])
        return removed
