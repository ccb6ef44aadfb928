# Generated from _async/services/entry_repair.py by tools/mirror.py; edit that file.
"""Repair index entries: read what sessions say of themselves, and put their entries where they belong."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..._core.commands import index_entries, loops, sessions
from ..._core.commands.index_entries import (
    CREATION_GRACE_MS,
    RAISE_INTERVAL_MS,
    EntryUpdate,
    IndexRecord,
    SessionIndexState,
)
from ..._core.protocol.call import Call
from ..._core.protocol.keys import EntryKeys, SessionKeys, session_keys
from ...errors import AccessDenied, SessionsError, StoreUnavailable
from ..transport.executor import Executor

_BATCH = 200
_RECORD_SECONDS = 10.0
"""The time for which a process relies on what it knows of a session: others may list it elsewhere."""
_MAX_KNOWN = 10_000


@dataclass(slots=True)
class KnownSession:
    """The values that a session is listed under, and when this process must act on them again (monotonic seconds)."""

    record: IndexRecord
    raise_at: float
    read_at: float


class KnownSessions(dict[str, KnownSession]):
    """The sessions that a process wrote last, by ID."""

    def note(self, id: str, record: IndexRecord, now: float) -> KnownSession:
        """Take note of the values under which a session was listed at a moment, 0 for a moment long ago."""
        if len(self) >= _MAX_KNOWN:
            with suppress(RuntimeError):  # another thread changed it
                self.pop(next(iter(self)), None)
        known = self[id] = KnownSession(record, now + RAISE_INTERVAL_MS / 1000, now + _RECORD_SECONDS)
        return known


class EntryRepair:
    """Reads sessions, and writes their index entries."""

    def __init__(self, executor: Executor, namespace: str, known: KnownSessions, *, is_cluster: bool) -> None:
        self._executor = executor
        self._namespace = namespace
        self._known = known
        self._is_cluster = is_cluster

    def read_state(self, keys: SessionKeys) -> SessionIndexState:
        """Return the state of a session. One round trip, retried. Raises StoreUnavailable."""
        values, ttl_ms = self._executor.get_many(index_entries.state_calls(keys))
        return _state_of(values, ttl_ms) or SessionIndexState("")

    def read_states(self, all_keys: Sequence[SessionKeys]) -> tuple[int, list[SessionIndexState | None]]:
        """Return the time in microseconds, and then the states of sessions: None for one that is damaged.

        Cost: one round trip. Raises StoreUnavailable and AccessDenied.
        """
        calls: list[Call[Any]] = [index_entries.server_time(self._namespace)]
        for keys in all_keys:
            calls += index_entries.state_calls(keys)
        results: list[Any] = self._executor.send_once(calls)
        for result in results:
            if isinstance(result, StoreUnavailable | AccessDenied):
                raise result
        now_us, *found = results
        return now_us, [_state_of(*pair) for pair in zip(found[::2], found[1::2], strict=True)]

    def repair(self, ids: Sequence[str], grace_ms: Mapping[str, int] | None = None) -> list[str]:
        """Make the entries of sessions equal to what the sessions say.

        Args:
            ids: the sessions.
            grace_ms: the age from which the entries of a session that is gone are removed, by ID, 20 s by default.

        Returns:
            Sessions to be repaired once more: they were gone, and another process may just have created them again.

        Cost: two round trips. Raises StoreUnavailable.
        """
        all_keys = [session_keys(self._namespace, id) for id in ids]
        now_us, states = self.read_states(all_keys)
        now = time.monotonic()
        updates: list[Call[Any]] = []
        again: list[str] = []
        listed: list[tuple[str, KnownSession | None, IndexRecord | None]] = []
        for keys, state in zip(all_keys, states, strict=True):
            if state is None:
                continue  # the entries of a damaged session stay as they are
            wait_ms = CREATION_GRACE_MS if grace_ms is None else grace_ms.get(keys.id, CREATION_GRACE_MS)
            updates += self._updates(keys, state, now_us, now_us - wait_ms * 1000)
            known = self._known.get(keys.id)
            if state.incarnation:
                listed.append((keys.id, known, state.record))
            elif wait_ms == 0:  # else young entries stay, and the repair after a deletion must know them
                listed.append((keys.id, known, None))
                again += [keys.id] if self._is_cluster else []
        self._try(updates)
        for id, known, record in listed:  # not before, because what failed is sent again by what was known
            if self._known.get(id) is not known:
                continue  # another thread or task has written the session since
            if record is None:
                self._known.pop(id, None)
            else:
                self._known.note(id, record, now)
        return again

    def _updates(self, keys: SessionKeys, state: SessionIndexState, now_us: int, latest_us: int) -> list[Call[Any]]:
        """Return the calls that put a session where it belongs, and take it out where this process knows it was listed."""
        known = self._known.get(keys.id)
        listed = known.record.entries(self._namespace, keys.tag) if known is not None else []
        if not state.incarnation:
            removals = index_entries.remove(listed, [keys.id], latest_us, is_cluster=self._is_cluster)
            return [*removals, sessions.remove_rest(keys)]
        current = state.record.entries(self._namespace, keys.tag)
        update = EntryUpdate(keys.id, "active" if state.is_active else "ended", state.created_us, state.updated_us)
        gone = [one for one in listed if one not in current]
        return [
            *_extensions(keys, state),
            *index_entries.put(current, [update], state.ttl_ms, is_cluster=self._is_cluster, as_of_us=now_us),
            *index_entries.remove(gone, [keys.id], now_us, is_cluster=self._is_cluster),
        ]

    def sweep(self, index: EntryKeys) -> None:
        """Remove all entries of an index whose sessions are gone or listed elsewhere. Raises StoreUnavailable.

        Cost: two round trips for 200 entries, three where some are removed.
        """
        for zset in (index.active_updated, index.ended_updated):
            first = 0
            while ids := self._executor.run(index_entries.members(index, zset, first, _BATCH)):
                all_keys = [session_keys(self._namespace, id) for id in ids]
                now_us, states = self.read_states(all_keys)
                wrong = [
                    keys.id
                    for keys, state in zip(all_keys, states, strict=True)
                    if state is not None and not _is_listed_in(index, self._namespace, keys, state)
                ]
                first += len(ids)
                if wrong:
                    latest_us = now_us - CREATION_GRACE_MS * 1000
                    calls = index_entries.remove([index], wrong, latest_us, is_cluster=self._is_cluster)
                    first -= sum(self._try(calls))
                    rests = [sessions.remove_rest(session_keys(self._namespace, id)) for id in wrong]
                    self._try(rests)  # of those that are gone

    def _try(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Return the results of calls. Raise the first error among them."""
        results: list[Any] = self._executor.send_once(calls)
        for result in results:
            if isinstance(result, SessionsError):
                raise result
        return results


def _state_of(values: Any, ttl_ms: Any) -> SessionIndexState | None:
    """Return the state of a session, or None when it is damaged: a value, or the type of its key, is wrong."""
    try:
        return index_entries.read_state(values, ttl_ms)
    except (ValueError, TypeError):
        return None


def _extensions(keys: SessionKeys, state: SessionIndexState) -> list[Call[Any]]:
    """Return the calls that let the ledger and the parts of a session live on with it."""
    if state.ttl_ms < -1:
        return []
    names = [keys.ledger] if state.has_ledger else []
    names += [keys.parts, keys.part_names] if state.has_parts else []
    return [loops.extend(keys, name, state.ttl_ms) for name in names]


def _is_listed_in(index: EntryKeys, namespace: str, keys: SessionKeys, state: SessionIndexState) -> bool:
    return bool(state.incarnation) and index in state.record.entries(namespace, keys.tag)
