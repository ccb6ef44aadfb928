# Generated from _async/services/expired_entries.py by tools/mirror.py; edit that file.
"""Remove the index entries of sessions that expired: no write tells of an expiry, and a list may never meet them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from ..._core.commands import index_entries, sessions
from ..._core.commands.index_entries import CREATION_GRACE_MS
from ..._core.protocol.keys import EntryKeys, session_keys
from ..._fork import run_in_child
from ...errors import SessionsError
from ..transport import tasks
from ..transport.executor import Executor

_PAUSE_SECONDS = 1.0
_MAX_INDEXES = 100
"""Indexes that are looked at in one go."""
_MAX_WAITING = 10_000
_SAMPLE = 25
_MANY = 0.25
"""The part of a sample from which on the next sample follows at once."""


class ExpiredEntries:
    """Looks for entries of expired sessions in each index into which this process enters sessions.

    A look at an index takes a sample. While a quarter of it has expired, another one follows, but no more entries are looked at
    than sessions were entered. So an index has about as many dead entries as living ones at most.
    """

    def __init__(self, executor: Executor, namespace: str, *, is_cluster: bool) -> None:
        self._executor = executor
        self._namespace = namespace
        self._is_cluster = is_cluster
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._waiting: dict[EntryKeys, int] = {}
        """The indexes to look at, and how many sessions were entered into each."""
        self._is_scheduled = False

    def note_created(self, entries: Iterable[EntryKeys]) -> None:
        """Take note that a session was entered into these indexes. They are looked at within a second or so."""
        for index in entries:
            if index in self._waiting or len(self._waiting) < _MAX_WAITING:
                self._waiting[index] = self._waiting.get(index, 0) + 1
        self._schedule()

    def close(self) -> None:
        """Look at nothing any more."""
        self._is_scheduled = True
        self._waiting.clear()

    def _schedule(self) -> None:
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            tasks.later(_PAUSE_SECONDS, tasks.while_used(self._look))

    def _look(self) -> None:
        self._is_scheduled = False
        for index in list(itertools.islice(self._waiting.copy(), _MAX_INDEXES)):
            left = self._waiting.pop(index, 0)
            try:
                while left > 0 and self.remove(index, _SAMPLE) >= _MANY:
                    left -= _SAMPLE
            except SessionsError:
                self._waiting.clear()  # the next creation in an index brings it here again
                return
        self._schedule()

    def remove(self, index: EntryKeys, limit: int) -> float:
        """Look at some old entries of an index, and remove those of sessions that are gone.

        Returns:
            The part of these entries that were removed, 0 to 1.

        Cost: three round trips, two when all sessions are there. Raises StoreUnavailable.
        """
        sample = self._executor.run(index_entries.sample(index, limit))
        calls: list[Any] = [index_entries.exists(session_keys(self._namespace, id)) for id in sample.ids]
        found = self._executor.get_many(calls)
        gone = [id for id, exists in zip(sample.ids, found, strict=True) if not exists]
        latest_us = sample.now_us - CREATION_GRACE_MS * 1000
        if gone:
            calls = index_entries.remove([index], gone, latest_us, is_cluster=self._is_cluster)
            calls += [sessions.remove_rest(session_keys(self._namespace, id)) for id in gone]
            self._executor.get_many(calls)
        return len(gone) / max(1, len(sample.ids))
