"""Keep the indexes of sessions: enter what is created, raise what is written, and have repaired what has ended or moved."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ..._core.commands import index_entries
from ..._core.commands.index_entries import CREATION_GRACE_MS, RAISE_INTERVAL_MS, IndexRecord
from ..._core.protocol.call import Argument, Call
from ..._core.protocol.keys import SessionKeys, session_keys
from ..._fork import run_in_child
from ...errors import OutcomeUnknown, SessionsError, StoreUnavailable
from ..transport import primitives, tasks
from ..transport.executor import Executor
from .entry_repair import EntryRepair, KnownSessions
from .expired_entries import ExpiredEntries

_REPAIR_SECONDS = 0.1
"""The pause before a repair, so that the repairs of many sessions go together."""
_MAX_PAUSE_SECONDS = 60.0
"""The longest pause before repairs that failed are tried again."""
_MAX_PENDING = 10_000
"""Sessions that may wait for a repair before a writer waits for it, too."""
_BATCH = 200
_MAX_AT_CLOSE = 2000
_CLOSE_SECONDS = 1.0
"""The longest wait of `close` for the last repair, because the server may be silent."""
_MAX_BEHIND = 20
"""Own sessions that are repaired before a list, so that a process sees its last writes in their order."""


class Indexer:
    """The upkeep of the indexes by one process. Observes every write of the executor."""

    def __init__(self, executor: Executor, namespace: str, *, is_cluster: bool) -> None:
        """Make the indexer of a namespace. On a cluster the indexes can be on other servers than the sessions."""
        self._executor = executor
        self._namespace = namespace
        self._is_cluster = is_cluster
        self._known = KnownSessions()
        self.repairs = EntryRepair(executor, namespace, self._known, is_cluster=is_cluster)
        self._expired = ExpiredEntries(executor, namespace, is_cluster=is_cluster)
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._known.clear()
        self._behind: deque[str] = deque(maxlen=_MAX_BEHIND)
        """The sessions that were written last, after their entries were raised."""
        self._pending: dict[str, int] = {}
        """Sessions to be repaired, and the age of the entries that go at once if the session is gone, in milliseconds."""
        self._is_scheduled = False
        self._is_closed = False
        self._pause = _REPAIR_SECONDS
        self._flushing = primitives.ReentrantLock()
        self._is_flushing = False

    # -- creations ---------------------------------------------------------------------------------------------------

    @contextmanager
    def creation(
        self, keys: SessionKeys, fields: Mapping[str, Argument | None], ttl_ms: int
    ) -> Iterator[list[Call[Any]]]:
        """Yield the hints that must precede the creation of a session with these fields.

        A creation that failed, or took long, is followed by a repair: its entries may be wrong, or may have been removed.
        """
        record = IndexRecord.of(fields)
        entries = record.entries(self._namespace, keys.tag)
        began = time.monotonic()
        self._known.note(keys.id, record, began)
        self._pending.pop(keys.id, None)  # a deletion before must not take the new entries out
        try:
            yield index_entries.announce(entries, keys.id, ttl_ms or -1, is_cluster=self._is_cluster)
        except SessionsError as problem:
            self.repair_later([keys.id], may_be_new=isinstance(problem, StoreUnavailable | OutcomeUnknown))
            raise
        except BaseException:
            self.repair_later([keys.id])
            raise
        if time.monotonic() - began > CREATION_GRACE_MS / 2000:
            self.repair_later([keys.id])
        self._expired.note_created(entries)

    async def announce(self, records: Mapping[str, IndexRecord]) -> None:
        """Enter sessions that are to be imported. They must be repaired after that. Cost: one round trip for 200 sessions."""
        calls: list[Call[Any]] = []
        for id, record in records.items():
            entries = record.entries(self._namespace, session_keys(self._namespace, id).tag)
            self._known.note(id, record, 0.0)
            self._pending.pop(id, None)
            calls += index_entries.announce(entries, id, 0, is_cluster=self._is_cluster)
        for first in range(0, len(calls), _BATCH):
            await self._executor.get_many(calls[first : first + _BATCH])

    async def relisting(self, keys: SessionKeys, fields: Mapping[str, Argument | None]) -> list[Call[Any]]:
        """Return the hints that must precede a change of fields by which a session is listed, or of an ended status.

        Cost: one round trip. Raises StoreUnavailable.
        """
        state = await self.repairs.read_state(keys)
        if not state.incarnation:
            return []
        self._known.note(keys.id, state.record, time.monotonic())
        before = state.record.entries(self._namespace, keys.tag)
        after = state.record.changed(fields).entries(self._namespace, keys.tag)
        entries = [one for one in after if one not in before] if state.is_active else after
        return index_entries.announce(
            entries, keys.id, state.ttl_ms, created_us=state.created_us, is_cluster=self._is_cluster
        )

    async def record_of(self, keys: SessionKeys) -> IndexRecord:
        """Return the values that a session is listed under. Cost: one round trip, unless this process wrote it lately."""
        known = self._known.get(keys.id)
        if known is None:
            known = self._known.note(keys.id, (await self.repairs.read_state(keys)).record, 0.0)
        return known.record

    async def learn(self, ids: Sequence[str]) -> None:
        """Read the values that sessions are listed under, as far as this process does not know them, in one round trip.

        So the entries of sessions can be removed after the sessions were deleted.
        """
        unknown = [session_keys(self._namespace, id) for id in ids if id not in self._known]
        if unknown:
            with suppress(SessionsError):  # else lists remove the entries
                _, states = await self.repairs.read_states(unknown)
                for keys, state in zip(unknown, states, strict=True):
                    if state is not None and state.incarnation:
                        self._known.note(keys.id, state.record, 0.0)

    def is_known(self, id: str) -> bool:
        """Return whether this process wrote or listed a session lately."""
        return id in self._known

    def forget_known(self, id: str) -> None:
        """Rely no longer on what this process knows of a session."""
        self._known.pop(id, None)

    def note_listed(self, id: str, record: IndexRecord) -> None:
        """Take note of the values that a session is listed under, as a list has read them."""
        self._known.note(id, record, 0.0)

    # -- before and after a write ----------------------------------------------------------------------------------

    def before_write(self, call: Call[Any], now: float) -> None:
        """Add the hint that raises the entries of the session, unless this process raised them lately."""
        keys: Any = call.keys
        parents = keys.ancestors[:1] if call.index_effect == "may_end" else ()  # an end changes the parent
        for id in (keys.id, *parents):
            known = self._known.get(id)
            if known is None:
                continue
            if now < known.raise_at:
                self._behind.append(id)
            elif not self._is_cluster:
                known.raise_at = now + RAISE_INTERVAL_MS / 1000
                entries = known.record.entries(self._namespace, keys.tag)
                call.hints = [*call.hints, index_entries.raise_entries(entries, id)]

    def after_write(self, call: Call[Any]) -> bool:
        """Have the session repaired if it may have ended or moved, or is not known. Return whether the caller must flush."""
        keys: Any = call.keys
        now = time.monotonic()
        known = self._known.get(keys.id)
        if call.index_effect in ("may_end", "may_relist"):
            self.repair_later([keys.id, *keys.ancestors[:1]], may_be_new=False)
        elif known is None or now >= known.read_at or (self._is_cluster and now >= known.raise_at):
            self.repair_later([keys.id, *keys.ancestors])  # a write extends the lives of the ancestors, too
        return len(self._pending) > _MAX_PENDING and not self._is_flushing

    def repair_later(self, ids: Iterable[str], *, may_be_new: bool = True) -> None:
        """Repair the entries of sessions in a moment, in the background, together with others.

        Args:
            may_be_new: a creation of the sessions may be under way, so young entries of one that is gone stay.
        """
        for id in ids:
            if (
                len(self._pending) < 2 * _MAX_PENDING or id in self._pending
            ):  # else the next write, or a list, repairs it
                self._pending[id] = self._pending.get(id, CREATION_GRACE_MS) if may_be_new else 0
        self._schedule()

    # -- repair ----------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._pending and not self._is_scheduled and not self._is_closed:
            self._is_scheduled = True
            tasks.later(self._pause, tasks.while_used(self._repair_pending))

    async def _repair_pending(self) -> None:
        self._is_scheduled = False
        try:
            await self.flush()
            self._pause = _REPAIR_SECONDS
        except SessionsError:
            self._pause = min(10 * self._pause, _MAX_PAUSE_SECONDS)
        self._schedule()

    async def flush(self, limit: int | None = None) -> None:
        """Repair the entries that wait for it. They wait on when a server does not answer, or refuses: that is raised."""
        async with self._flushing:
            self._is_flushing = True
            try:
                await self._flush(limit)
            finally:
                self._is_flushing = False

    async def _flush(self, limit: int | None) -> None:
        ids = list(self._pending)[:limit]
        for first in range(0, len(ids), _BATCH):
            batch = {id: self._pending.pop(id, CREATION_GRACE_MS) for id in ids[first : first + _BATCH]}
            try:
                self.repair_later(await self.repairs.repair(list(batch), batch))
            except BaseException:  # also a cancellation
                for id, grace_ms in batch.items():
                    self._pending.setdefault(id, grace_ms)
                self._schedule()
                raise

    async def repair_own(self) -> None:
        """Before a list: repair the entries of the few sessions that this process wrote last, so that it sees its own order.

        Cost: nothing if no entry is behind, else two round trips.
        """
        with suppress(IndexError):
            while True:
                self._pending.setdefault(self._behind.popleft(), CREATION_GRACE_MS)
        if len(self._pending) <= 2 * _MAX_BEHIND:
            with suppress(SessionsError):  # a server that takes no writes can be read
                await self.flush()

    async def repair_all(self, ids: Sequence[str], *, may_be_new: bool = True) -> None:
        """Repair the entries of sessions now, as far as the servers answer. See `repair_later`."""
        with suppress(SessionsError):
            for first in range(0, len(ids), _BATCH):
                batch = ids[first : first + _BATCH]
                again = await self.repairs.repair(batch, None if may_be_new else dict.fromkeys(batch, 0))
                self.repair_later(again)

    async def close(self) -> None:
        """Repair what waits, up to 2,000 sessions, for 1 s at most. A list repairs the rest when it meets them."""
        self._is_closed = True
        self._expired.close()
        if self._pause > _REPAIR_SECONDS:  # the last repair failed
            return
        is_over = tasks.Event()
        if tasks.try_spawn(self._flush_last, is_over) is None:  # the process ends, and can start no more threads
            await self._flush_last(is_over)
        await is_over.wait(_CLOSE_SECONDS)

    async def _flush_last(self, is_over: tasks.Event) -> None:
        try:
            with suppress(SessionsError):
                await self.flush(_MAX_AT_CLOSE)
        finally:
            is_over.set()
