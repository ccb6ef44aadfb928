"""Keeps the indexes: announces what is created, marks what is written, and puts it right in the background."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._core import indexes
from .._core.calls import Argument, Call
from .._core.forks import in_child
from .._core.indexes import GRACE_MS, LAG_MS, Facts
from .._core.keys import SHARDS, SessionKeys, session_keys
from ..errors import SessionsError, StoreUnavailable
from . import background, io

if TYPE_CHECKING:
    from .calls import Calls

_SOON = 1.0  # seconds for which sessions gather, to be put right together
_AGAIN = 1.0
_FRESH = 10_000
_AT_ONCE = 200


class Indexes:
    """Indexes are hints: what they say is checked with the session, and what they lack comes back with its next write."""

    def __init__(self, calls: Calls, namespace: str, *, is_apart: bool) -> None:
        self._calls = calls
        self._namespace = namespace
        self._is_apart = is_apart
        self._start()
        in_child(self._start)

    def _start(self) -> None:
        self._fresh: dict[str, float] = {}
        self._behind: dict[str, None] = {}
        self._is_due = False
        self._catching_up = io.Lock()

    def announce(self, keys: SessionKeys, fields: dict[str, Argument], ttl_ms: int) -> list[Call[Any]]:
        """What goes before the creation of a session with such fields."""
        kind, user, agent, label, tags = [fields.get(name) for name in ("kind", "user", "agent", "label", "tags")]
        facts = Facts.of(kind, user, agent, label, tags)
        self._note_fresh(keys.id)
        return [*indexes.announce(self._namespace, keys, facts, ttl_ms or -1, is_apart=self._is_apart)]

    def before(self, call: Call[Any], *, is_late: bool = False) -> Sequence[str]:
        """Marks what a call writes, ahead of it; says which sessions are to be put right after it.

        A call that is late may come after the time for which its session needs no mark.
        """
        keys: Any = call.keys
        is_change = indexes.changes(call)
        if not is_change and not is_late and time.monotonic() < self._fresh.get(keys.id, 0.0):
            return ()
        self._note_fresh(keys.id)
        parent = keys.ancestors[:1] if is_change else ()  # it hears of an end
        call.ahead = [*call.ahead, *indexes.mark(self._namespace, keys, parent)]
        return (keys.id, *parent)

    def _note_fresh(self, id: str) -> None:
        if len(self._fresh) >= _FRESH:
            self._fresh = {}  # whoever is written next is put right once more
        self._fresh[id] = time.monotonic() + LAG_MS / 1000

    def later(self, ids: Iterable[str], seconds: float = _SOON) -> None:
        """Puts sessions right in a moment, in the background, together with others."""
        for id in ids:
            if len(self._behind) < _FRESH:  # the marks of the others stay, for whoever sweeps
                self._behind[id] = None
        if self._behind and not self._is_due:
            self._is_due = True
            background.later(seconds, self.catch_up)

    async def catch_up(self) -> None:
        """Puts right what was written; what cannot be now is tried again, and found by its mark if this process ends."""
        async with self._catching_up:
            self._is_due = False
            ids = []
            with suppress(KeyError):
                while True:
                    ids.append(self._behind.popitem()[0])
            for first in range(0, len(ids), _AT_ONCE):
                some = ids[first : first + _AT_ONCE]
                try:
                    for id in await self.settle(some):
                        self._behind.setdefault(id)
                except StoreUnavailable:
                    self.later(ids[first:], _AGAIN)
                    return
                except SessionsError:
                    return
        self.later(())

    async def settle_all(self, ids: Sequence[str]) -> None:
        """Puts sessions right now, as far as that is possible now."""
        with suppress(SessionsError):
            for first in range(0, len(ids), _AT_ONCE):
                await self.settle(ids[first : first + _AT_ONCE])

    async def settle(self, ids: Sequence[str]) -> list[str]:
        """Puts sessions where they belong, by what they say themselves: two round trips, three in
        a cluster. Returns others that are due."""
        everything = [session_keys(self._namespace, id) for id in ids]
        calls: list[Call[Any]] = [indexes.clock(self._namespace)]
        for keys in everything:
            calls += [*indexes.truth(keys), *indexes.noted(self._namespace, keys)]
        found: list[Any] = await self._calls.try_many(calls)
        now = found.pop(0)
        unavailable = [answer for answer in (now, *found) if isinstance(answer, StoreUnavailable)]
        puts: list[Call[Any]] = []
        notes: list[Call[Any]] = []
        for at, keys in enumerate(everything):
            answers = found[at * 5 : at * 5 + 5]
            with suppress(ValueError):  # what is damaged stays where it is
                if not any(isinstance(answer, SessionsError) for answer in (now, *answers)):
                    right, note = self._right(keys, answers, now)
                    puts += right
                    notes.append(note)
        if self._is_apart:  # what is noted must be so, whichever node is asked first
            unavailable += [one for one in await self._calls.try_many(puts) if isinstance(one, StoreUnavailable)]
            if unavailable:
                raise unavailable[0]
            puts = []
        others = (await self._calls.try_many([*puts, *notes]))[len(puts) :]
        unavailable += [answer for answer in others if isinstance(answer, StoreUnavailable)]
        if unavailable:
            raise unavailable[0]
        return [id for found in others if isinstance(found, list) for id in found if id not in ids]

    def _right(self, keys: SessionKeys, answers: Sequence[Any], now: int) -> tuple[list[Call[Any]], Call[Any]]:
        truth, noted = indexes.read_truth(*answers[:2]), indexes.read_noted(*answers[2:])
        places = truth.facts.indexes(self._namespace, keys.tag) if truth.life else []
        calls: list[Call[Any]] = []
        if truth.life:
            entry = (keys.id, keys.tag, "active" if truth.is_active else "ended", truth.created, truth.updated)
            calls += indexes.put(self._namespace, [entry], truth.facts, truth.ttl_ms, is_apart=self._is_apart)
        everywhere = [Facts(kind) for kind in indexes.KINDS]
        for place in dict.fromkeys(
            place for facts in noted.facts or everywhere for place in facts.indexes(self._namespace, keys.tag)
        ):
            if place not in places:
                calls.append(indexes.gone(place, [keys.id], now))
        return calls, indexes.note(self._namespace, keys, truth, noted, now)

    async def sweep(self, grace_ms: int = GRACE_MS) -> int:
        """Looks at all sessions that it is time to look at; says at how many."""
        looked = 0
        for shard in range(SHARDS):
            seen: set[str] = set()
            while True:
                ids = await self._calls.run(indexes.late(self._namespace, shard, grace_ms))
                ids = [id for id in ids if id not in seen]
                if not ids:
                    break
                await self.settle(ids)
                looked += len(ids)
                seen.update(ids)
        return looked

    async def close(self) -> None:
        """Puts right what still waits for it, if that can be done at once."""
        if self._behind:
            with suppress(SessionsError):
                await self.catch_up()
