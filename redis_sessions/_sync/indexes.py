# Generated from ../_async/indexes.py by tools/mirror.py; edit that file.
"""Keeps the indexes: announces what is created, marks what is written, and puts it right in the background."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._core import indexes
from .._core.calls import Argument, Call
from .._core.forks import in_child
from .._core.indexes import GRACE_MS, LAG_MS, Facts, Mark, Noted, Truth
from .._core.keys import SHARDS, SessionKeys, session_keys
from ..errors import SessionsError, StoreUnavailable
from . import background, io

if TYPE_CHECKING:
    from .calls import Calls

_SOON = 1.0  # seconds
_LAG = LAG_MS / 1000
_FULL = 10_000
_AT_ONCE = 200
_AT_CLOSE = 2000


class Indexes:
    """Indexes are hints: what they say is checked with the session, and what they lack comes back with its next write."""

    def __init__(self, calls: Calls, namespace: str, *, is_apart: bool) -> None:
        self._calls = calls
        self._namespace = namespace
        self._is_apart = is_apart
        self._start()
        in_child(self._start)

    def _start(self) -> None:
        self._writer = secrets.token_hex(4)
        self._fresh: dict[str, float] = {}  # until when a session that was marked is not marked again
        self._behind: dict[str, float] = {}  # when a session is to be put right
        self._under_way: dict[int, str] = {}  # writes that have begun and not ended, and of which sessions
        self._is_due = False
        self._catching_up = io.Lock()

    def announce(self, keys: SessionKeys, fields: dict[str, Argument], ttl_ms: int) -> list[Call[Any]]:
        """What goes before the creation of a session with such fields."""
        kind, user, agent, label, tags = [fields.get(name) for name in ("kind", "user", "agent", "label", "tags")]
        facts = Facts.of(kind, user, agent, label, tags)
        self._note_marked([keys.id], _LAG)
        return [*indexes.announce(self._namespace, keys, facts, ttl_ms or -1, self._writer, is_apart=self._is_apart)]

    def mark(self, keys: SessionKeys, ids: Sequence[str], *, may_move: bool = False) -> Call[None]:
        """What goes before changes of sessions of one tree, which are put right soon."""
        self._note_marked(ids, _SOON)
        return indexes.mark(self._namespace, keys.tag, ids, self._writer, may_move=may_move)

    def begin(self, call: Call[Any], now: float) -> None:
        """Before a session is written: it is marked, unless it is."""
        keys: Any = call.keys
        self._under_way[id(call)] = keys.id
        if indexes.changes(call):
            ids = [keys.id, *keys.ancestors[:1]]  # the parent hears of an end
            call.ahead = [*call.ahead, self.mark(keys, ids, may_move=indexes.moves(call))]
        elif now >= self._fresh.get(keys.id, 0.0):
            self._note_marked([keys.id], _LAG)
            call.ahead = [*call.ahead, indexes.mark(self._namespace, keys.tag, [keys.id], self._writer)]

    def begin_again(self, call: Call[Any]) -> None:
        """Before a write is repeated, which may come when its mark has ended, or never came."""
        keys: Any = call.keys
        self.doubt(keys.id)
        call.ahead = [*call.ahead, indexes.mark(self._namespace, keys.tag, [keys.id], self._writer)]

    def end(self, call: Call[Any]) -> bool:
        """After it was written, or may have been; says whether it is time to wait for what is to be put right."""
        del self._under_way[id(call)]
        return len(self._behind) > _FULL

    def _note_marked(self, ids: Iterable[str], seconds: float) -> None:
        until = time.monotonic() + seconds
        for id in ids:
            if len(self._behind) < 2 * _FULL or id in self._behind:  # the marks of the others stay, for whoever sweeps
                self._fresh[id] = self._behind[id] = until
        self._wait()

    def doubt(self, id: str) -> None:
        """A session may have ended, or its mark may not be there."""
        self._fresh.pop(id, None)
        self.later([id])

    def later(self, ids: Iterable[str]) -> None:
        """Puts sessions right in a moment, in the background, together with others."""
        soon = time.monotonic() + _SOON
        for id in ids:
            self._behind[id] = min(self._behind.get(id, soon), soon)
        self._wait()

    def _wait(self) -> None:
        if self._behind and not self._is_due:
            self._is_due = True
            background.later(_SOON, self._look)

    def _look(self) -> None:
        self._is_due = False
        self.catch_up(0.0)
        self._wait()

    def catch_up(self, seconds: float = math.inf) -> None:
        """Puts right what was written and is to be put right within so many seconds.

        What cannot be now is tried again, and found by its mark if this process ends.
        """
        with self._catching_up:
            until = time.monotonic() + seconds
            ids = [id for id, due in list(self._behind.items()) if due <= until]
            for first in range(0, len(ids), _AT_ONCE):
                some = ids[first : first + _AT_ONCE]
                for id in some:
                    self._behind.pop(id, None)
                try:
                    self.later(self.settle(some))
                except StoreUnavailable:
                    self.later(some)
                    return
                except SessionsError:
                    return

    def settle_all(self, ids: Sequence[str]) -> None:
        """Puts sessions right now, as far as that is possible now."""
        with suppress(SessionsError):
            for first in range(0, len(ids), _AT_ONCE):
                self.settle(ids[first : first + _AT_ONCE])

    def settle(self, members: Sequence[str], grace_ms: int = GRACE_MS) -> list[str]:
        """Puts sessions (ids, or marks of writers that are dead) where they belong, by what they say themselves, and ends
        their marks: two round trips, three in a cluster. Returns others that are due.

        A session that is being written keeps its mark, and is due again.
        """
        marks = [Mark.of(member, self._writer) for member in members]
        everything = [session_keys(self._namespace, mark.id) for mark in marks]
        busy = {mark.id for mark in marks} & {*list(self._under_way.values())}
        for mark in marks:
            self._fresh.pop(mark.id, None)
        calls = [call for keys in everything for call in (indexes.noted(self._namespace, keys), *indexes.truth(keys))]
        found: list[Any] = self._calls.try_many(calls)
        unavailable = [answer for answer in found if isinstance(answer, StoreUnavailable)]
        puts: list[Call[Any]] = []
        notes: list[Call[Any]] = []
        for at, (keys, mark) in enumerate(zip(everything, marks, strict=True)):
            answers = found[at * 3 : at * 3 + 3]
            with suppress(ValueError):  # what is damaged stays where it is
                if not any(isinstance(answer, SessionsError) for answer in answers):
                    noted, truth = answers[0], indexes.read_truth(*answers[1:])
                    is_ours = mark.writer == self._writer
                    writer = "" if is_ours and (keys.id in busy or keys.id in self._fresh) else mark.writer
                    puts += self._puts(keys, truth, noted)
                    notes.append(indexes.note(self._namespace, keys, truth, noted, writer, 0 if is_ours else grace_ms))
        if self._is_apart:  # what is noted must be so, whichever node is asked first
            unavailable += [one for one in self._calls.try_many(puts) if isinstance(one, StoreUnavailable)]
            if unavailable:
                raise unavailable[0]
            puts = []
        others = (self._calls.try_many([*puts, *notes]))[len(puts) :]
        unavailable += [answer for answer in others if isinstance(answer, StoreUnavailable)]
        if unavailable:
            raise unavailable[0]
        late = {one for found in others if isinstance(found, list) for one in found}
        return [*busy, *(late - set(members))]

    def _puts(self, keys: SessionKeys, truth: Truth, noted: Noted) -> list[Call[Any]]:
        places = truth.facts.indexes(self._namespace, keys.tag) if truth.life else []
        calls: list[Call[Any]] = []
        if truth.life:
            entry = (keys.id, keys.tag, "active" if truth.is_active else "ended", truth.created, truth.updated)
            calls += indexes.put(
                self._namespace, [entry], truth.facts, truth.ttl_ms, as_of=noted.now, is_apart=self._is_apart
            )
        everywhere = [Facts(kind) for kind in indexes.KINDS]
        for place in dict.fromkeys(
            place for facts in noted.facts or everywhere for place in facts.indexes(self._namespace, keys.tag)
        ):
            if place not in places:
                calls.append(indexes.gone(place, [keys.id], noted.now))
        return calls

    def sweep(self, grace_ms: int = GRACE_MS) -> int:
        """Looks at all sessions that it is time to look at; says at how many."""
        looked = 0
        for shard in range(SHARDS):
            seen: set[str] = set()
            while True:
                late = self._calls.run(indexes.late(self._namespace, shard, grace_ms))
                late = [one for one in late if one not in seen]
                if not late:
                    break
                self.settle(late, grace_ms)
                looked += len({Mark.of(one).id for one in late})
                seen.update(late)
        return looked

    def close(self) -> None:
        """Puts right what still waits for it, as far as that is done at once; the marks of the rest are seen to by others."""
        self.settle_all(list(self._behind)[:_AT_CLOSE])
