"""Keep the indexes of sessions: announce creations, mark what is written as dirty, and repair the entries in the background."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ..._core.commands import index_entries
from ..._core.commands.index_entries import (
    DIRTY_MARK_TTL_MS,
    WRITER_GRACE_MS,
    DirtyMark,
    EntryUpdate,
    IndexRecord,
    SessionIndexState,
    StoredIndexRecord,
)
from ..._core.commands.session_fields import KINDS
from ..._core.protocol.call import Argument, Call
from ..._core.protocol.keys import SHARDS, SessionKeys, session_keys
from ..._fork import run_in_child
from ...errors import SessionsError, StoreUnavailable
from ..transport import primitives, tasks
from ..transport.executor import Executor

_REPAIR_SECONDS = 1.0
"""The pause between a change that may end or relist a session and the repair of its entries."""
_DIRTY_SECONDS = DIRTY_MARK_TTL_MS / 1000
_MAX_PENDING = 10_000
"""Sessions that may wait for a repair before a writer waits for it, too."""
_BATCH = 200
_BATCH_AT_CLOSE = 2000


class Indexer:
    """The upkeep of the indexes by one process. Observes every write of the executor."""

    def __init__(self, executor: Executor, namespace: str, *, is_separate: bool) -> None:
        """Make the indexer of a namespace. `is_separate`: the indexes can be on other servers than the sessions (cluster)."""
        self._executor = executor
        self._namespace = namespace
        self._is_separate = is_separate
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._writer = secrets.token_hex(4)
        self._marked_until: dict[str, float] = {}
        """Until when a session that this process marked need not be marked again."""
        self._repair_at: dict[str, float] = {}
        """When the entries of a session must be repaired."""
        self._writing: dict[int, str] = {}
        """Writes that have begun and not ended, and their sessions."""
        self._creating: list[str] = []
        """Sessions whose creations have begun and not ended."""
        self._is_scheduled = False
        self._flushing = primitives.Lock()

    # -- before and after a write ----------------------------------------------------------------------------------

    def prepare_creation(
        self, keys: SessionKeys, fields: Mapping[str, Argument | None], ttl_ms: int, *, may_relist: bool = False
    ) -> list[Call[Any]]:
        """Return the hints that must precede the creation of a session with these fields."""
        record = IndexRecord.of(fields)
        self._note_marked([keys.id], _DIRTY_SECONDS)
        writer = f"{self._writer}?" if may_relist else self._writer
        return [
            *index_entries.announce(self._namespace, keys, record, ttl_ms or -1, writer, is_separate=self._is_separate)
        ]

    @contextmanager
    def creation(
        self, keys: SessionKeys, fields: Mapping[str, Argument | None], ttl_ms: int, *, may_relist: bool = False
    ) -> Iterator[list[Call[Any]]]:
        """Yield the hints of `prepare_creation`. Until the block ends, repairs keep the announcement.

        A repair that finds no session would else remove the entries and the mark of a creation that is under way.
        """
        hints = self.prepare_creation(keys, fields, ttl_ms, may_relist=may_relist)
        self._creating.append(keys.id)
        try:
            yield hints
        finally:
            self._creating.remove(keys.id)

    def mark_dirty(self, keys: SessionKeys, ids: Sequence[str], *, may_relist: bool = False) -> Call[None]:
        """Return the hint that must precede changes of sessions of one tree. Their entries are repaired soon after."""
        self._note_marked(ids, _REPAIR_SECONDS)
        return index_entries.mark_dirty(self._namespace, keys.tag, ids, self._writer, may_relist=may_relist)

    def before_write(self, call: Call[Any], now: float) -> None:
        """Add the hint that marks the session as dirty, unless this process marked it lately."""
        keys: Any = call.keys
        self._writing[id(call)] = keys.id
        effect = call.index_effect
        if effect in ("may_end", "may_relist"):
            ids = [keys.id, *keys.ancestors[:1]]  # an end changes the parent, too
            call.hints = [*call.hints, self.mark_dirty(keys, ids, may_relist=effect == "may_relist")]
        elif now >= self._marked_until.get(keys.id, 0.0):
            self._note_marked([keys.id], _DIRTY_SECONDS)
            call.hints = [*call.hints, self._plain_mark(keys)]

    def before_retry(self, call: Call[Any]) -> None:
        """Add the hint again: the retry may come after the mark was removed, or the mark may not have arrived."""
        keys: Any = call.keys
        self.mark_unknown(keys.id)
        call.hints = [*call.hints, self._plain_mark(keys)]

    def after_write(self, call: Call[Any]) -> bool:
        """Take note that a write is over. Return whether too many sessions wait for a repair."""
        del self._writing[id(call)]
        return len(self._repair_at) > _MAX_PENDING

    def mark_unknown(self, id: str) -> None:
        """Take note that a session may have ended, or that its mark may not be there."""
        self._marked_until.pop(id, None)
        self.check_later([id])

    def check_later(self, ids: Iterable[str]) -> None:
        """Repair the entries of sessions in a moment, in the background, together with others."""
        soon = time.monotonic() + _REPAIR_SECONDS
        for id in ids:
            self._repair_at[id] = min(self._repair_at.get(id, soon), soon)
        self._schedule()

    def _plain_mark(self, keys: SessionKeys) -> Call[None]:
        return index_entries.mark_dirty(self._namespace, keys.tag, [keys.id], self._writer)

    def _note_marked(self, ids: Iterable[str], seconds: float) -> None:
        until = time.monotonic() + seconds
        for id in ids:
            if len(self._repair_at) < 2 * _MAX_PENDING or id in self._repair_at:  # else the mark stays for `recover`
                self._marked_until[id] = self._repair_at[id] = until
        self._schedule()

    # -- repair ----------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._repair_at and not self._is_scheduled:
            self._is_scheduled = True
            tasks.later(_REPAIR_SECONDS, self._repair_due)

    async def _repair_due(self) -> None:
        self._is_scheduled = False
        await self.flush(0.0)
        self._schedule()

    async def flush(self, seconds: float = math.inf) -> None:
        """Repair the entries that must be repaired within `seconds`.

        What fails is tried again later. If this process ends before, `recover` finds the dirty marks.
        """
        async with self._flushing:
            until = time.monotonic() + seconds
            ids = [id for id, due in list(self._repair_at.items()) if due <= until]
            for first in range(0, len(ids), _BATCH):
                batch = ids[first : first + _BATCH]
                for id in batch:
                    self._repair_at.pop(id, None)
                try:
                    self.check_later(await self.repair(batch))
                except StoreUnavailable:
                    self.check_later(batch)
                    return
                except SessionsError:
                    return

    async def repair_all(self, ids: Sequence[str]) -> None:
        """Repair the entries of sessions now, as far as the servers answer."""
        with suppress(SessionsError):
            for first in range(0, len(ids), _BATCH):
                await self.repair(ids[first : first + _BATCH])

    async def repair(self, members: Sequence[str], grace_ms: int = WRITER_GRACE_MS) -> list[str]:
        """Make the entries of sessions equal to what the sessions say, and remove their dirty marks.

        Args:
            members: IDs, or dirty marks of writers that died.
            grace_ms: the age from which a writer is taken for dead.

        Returns:
            Other sessions that must be checked. A session that this process is writing keeps its mark, and is one of them.
            A session that this process is creating keeps its announcement, and is one of them, too.

        Cost: two round trips, three in a cluster. Raises StoreUnavailable.
        """
        marks = [DirtyMark.parse(member, self._writer) for member in members]
        all_keys = [session_keys(self._namespace, mark.id) for mark in marks]
        creating = {mark.id for mark in marks} & {*list(self._creating)}
        busy = creating | ({mark.id for mark in marks} & {*list(self._writing.values())})
        for mark in marks:
            self._marked_until.pop(mark.id, None)
        calls = [
            call
            for keys in all_keys
            for call in (index_entries.get_record(self._namespace, keys), *index_entries.state_calls(keys))
        ]
        found: list[Any] = await self._executor.try_many(calls)
        failures = [result for result in found if isinstance(result, StoreUnavailable)]
        unsettled = set(members)
        updates: list[Call[Any]] = []
        puts: list[Call[Any]] = []
        for at, (keys, mark) in enumerate(zip(all_keys, marks, strict=True)):
            results = found[at * 3 : at * 3 + 3]
            if any(isinstance(result, SessionsError) for result in results):
                continue
            with suppress(ValueError):  # the entries of a damaged session stay as they are
                stored, state = results[0], index_entries.read_state(results[1], results[2])
                if keys.id in creating and not state.incarnation:
                    continue
                unsettled.discard(members[at])
                is_own = mark.writer == self._writer
                keeps_mark = is_own and (keys.id in busy or keys.id in self._marked_until)
                writer = "" if keeps_mark else mark.writer
                updates += self._entry_updates(keys, state, stored)
                puts.append(
                    index_entries.put_record(self._namespace, keys, state, stored, writer, 0 if is_own else grace_ms)
                )
        if self._is_separate:  # the entries must be right before their record says so
            failures += [one for one in await self._executor.try_many(updates) if isinstance(one, StoreUnavailable)]
            if failures:
                raise failures[0]
            updates = []
        others = (await self._executor.try_many([*updates, *puts]))[len(updates) :]
        failures += [result for result in others if isinstance(result, StoreUnavailable)]
        if failures:
            raise failures[0]
        due = {one for found in others if isinstance(found, list) for one in found}
        return [*{*busy, *(due - unsettled)}]

    def _entry_updates(self, keys: SessionKeys, state: SessionIndexState, stored: StoredIndexRecord) -> list[Call[Any]]:
        """Return the calls that put a session where it belongs, and take it out where it was listed before."""
        current = state.record.entries(self._namespace, keys.tag) if state.incarnation else []
        calls: list[Call[Any]] = []
        if state.incarnation:
            group = "active" if state.is_active else "ended"
            update = EntryUpdate(keys.id, keys.tag, group, state.created_us, state.updated_us)  # type: ignore[arg-type]
            calls += index_entries.upsert(
                self._namespace, [update], state.record, state.ttl_ms, as_of_us=stored.now_us,
                is_separate=self._is_separate,
            )  # fmt: skip
        before = stored.records or [IndexRecord(kind) for kind in KINDS]
        listed = dict.fromkeys(entry for record in before for entry in record.entries(self._namespace, keys.tag))
        calls += [index_entries.remove(entry, [keys.id], stored.now_us) for entry in listed if entry not in current]
        return calls

    async def recover(self, grace_ms: int = WRITER_GRACE_MS) -> int:
        """Check all sessions that must be checked. Return how many."""
        checked = 0
        for shard in range(SHARDS):
            seen: set[str] = set()
            while True:
                due = await self._executor.run(index_entries.list_due(self._namespace, shard, grace_ms))
                due = [one for one in due if one not in seen]
                if not due:
                    break
                await self.repair(due, grace_ms)
                checked += len({DirtyMark.parse(one).id for one in due})
                seen.update(due)
        return checked

    async def close(self) -> None:
        """Repair what waits, up to 2,000 sessions. Other processes repair the rest by its dirty marks."""
        await self.repair_all(list(self._repair_at)[:_BATCH_AT_CLOSE])
