"""Delete sessions that are old, or too many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from ..._core.commands import list_pages, sessions
from ..._core.commands.list_query import Position, Row, query
from ..._core.protocol.keys import index_keys, session_keys
from ...errors import SessionDamaged, SessionReplaced, SessionsError, StoreFull
from .context import CacheContext
from .deleter import delete_session, read_identity
from .listing import SessionLister

_BATCH = 100


class Pruner:
    """One pass over the sessions of a cache, newest first: what is beyond the limits is deleted."""

    def __init__(self, context: CacheContext, lister: SessionLister) -> None:
        self._context = context
        self._lister = lister
        self.removed = 0
        """The number of roots that were deleted, or counted."""
        self._limit_us = 0
        """The time of the last update below which sessions are beyond the limits, as far as that is known."""

    async def may_begin(self, cooldown_ms: int) -> bool:
        """Return whether no process of the fleet pruned within its cooldown, and begin a new cooldown if so.

        A full server keeps no cooldown, so each process may prune.
        """
        keys = index_keys(self._context.namespace, "pruned")
        try:
            return cooldown_ms == 0 or await self._context.executor.run(list_pages.begin_prune(keys, cooldown_ms))
        except StoreFull:
            return True

    async def run(
        self, max_sessions: int, max_age_ms: int, dry_run: bool, progress: Callable[[int], None] | None
    ) -> int:
        """Delete, or only count with `dry_run`. Return how many roots."""
        batch: list[Row] = []
        async for row in self._beyond_limits(max_sessions, max_age_ms):
            batch.append(row)
            if len(batch) == _BATCH:
                await self._remove(batch, dry_run)
                batch = []
                if progress is not None:
                    progress(self.removed)
        await self._remove(batch, dry_run)
        await self._delete_damaged(dry_run)
        if progress is not None:
            progress(self.removed)
        return self.removed

    async def _remove(self, batch: Sequence[Row], dry_run: bool) -> None:
        if dry_run:
            self.removed += len(batch)
        else:
            await self._delete(batch)

    async def _delete_damaged(self, dry_run: bool) -> None:
        """Delete the damaged roots whose index entries are beyond the limits."""
        for id in dict.fromkeys(one.id for one in self._lister.damaged if one.time < self._limit_us):
            keys = session_keys(self._context.namespace, id)
            identity = await read_identity(self._context, keys)
            is_root = not identity.ancestors
            if is_root and (dry_run or await delete_session(self._context, keys, identity.incarnation, "")):
                self.removed += 1

    async def _beyond_limits(self, max_sessions: int, max_age_ms: int) -> AsyncIterator[Row]:
        """Yield the roots that are beyond the limits and not in use."""
        now_us = await self._lister.server_time()
        cutoff_us = self._limit_us = now_us - max_age_ms * 1000 if max_age_ms else 0
        all_sessions = query(limit=_BATCH * 2)
        cursor = all_sessions.cursor(Position(cutoff_us, "")) if max_sessions == 0 else None
        kept = 0
        async for row in self._lister.rows(all_sessions, cursor):
            if row.summary.root_id is not None:
                continue  # it is deleted with its root
            if row.updated_us >= cutoff_us and (max_sessions == 0 or kept < max_sessions):
                kept += 1
                if kept == max_sessions:
                    self._limit_us = max(cutoff_us, row.updated_us)
            elif row.summary.holder is None and row.summary.active_descendants == 0:
                yield row

    async def _delete(self, rows: Sequence[Row]) -> None:
        """Delete the sessions that did not change since they were read, with all below them."""
        if not rows:
            return
        context = self._context
        keys = [session_keys(context.namespace, row.summary.id) for row in rows]
        for row in rows:
            context.indexer.note_listed(row.summary.id, list_pages.record_of(row.summary))
        calls = [sessions.delete(one, row.incarnation, "", row.updated_us) for one, row in zip(keys, rows, strict=True)]
        results = await context.executor.run_many(calls)
        self.removed += sum(not isinstance(one, SessionsError) and one.outcome == "deleted" for one in results)
        failure: SessionsError | None = None
        for one, row, result in zip(keys, rows, results, strict=True):
            if isinstance(result, SessionDamaged):
                self.removed += await delete_session(context, one, row.incarnation, "")
            elif isinstance(result, SessionsError):
                if not isinstance(result, SessionReplaced):  # else the next pass meets the new session
                    failure = failure or result
            elif result.outcome in ("open", "parent"):
                self.removed += await delete_session(context, one, row.incarnation, "", updated_us=row.updated_us)
        await context.indexer.repair_all([one.id for one in keys], may_be_new=False)
        if failure is not None:
            raise failure
