"""The progress of a watcher through a session, and its reading of notifications. Needs no server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, get_args

from ..._arguments import mapping
from ..._durations import moment, whole
from ...errors import CodecMissing, DecryptionError, InvalidInput, SessionRegressed, SessionReplaced
from ...models.events import EventKind, SessionEvent, WatchEnd
from ...models.messages import Message
from ...models.sessions import Status
from ...models.trees import OPEN_STATUSES
from ..protocol.call import Call
from ..protocol.encoding import OriginsNeeded, decoded
from ..protocol.ids import check_id
from ..protocol.json_values import from_json
from ..protocol.keys import SessionKeys
from ..protocol.notifications import Notification
from ..protocol.records import Counters, StatusChange, lines_of
from .deltas import Delta, parse_published
from .guarded_write import check_incarnation
from .watch_pace import WatchPace

CHUNK_MESSAGES = 100
"""Messages that a watcher reads at once when it catches up."""
_NUMBER = re.compile(rb"\d{1,16}(?!\d)")
_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})(?:-([0-9]{1,16})-([0-9]{1,15}))?")
_FINAL = set(get_args(Status)) - {*OPEN_STATUSES}


class WatchSnapshot(NamedTuple):
    """A session at one moment, as a watcher that catches up needs it."""

    incarnation: str
    last_seq: int
    dropped: int
    has_ended: bool
    changes: list[StatusChange]


class WatchPosition(NamedTuple):
    """A place in a session, behind which a watch begins."""

    seq: int | None = 0
    """The seq of a message. None for what comes next."""
    change: int = 0
    """The number of a change of the status, or of an edit."""
    answer: int = 0
    """The answer in progress of which deltas were seen, 0 for none."""
    number: int = 0
    """The number of the last of these deltas."""


class WatchProgress:
    """The progress of one watcher through one session. Yields events in order, each once."""

    def __init__(self, id: str, begin: WatchPosition, incarnation: str = "") -> None:
        """Begin behind a position."""
        self.id = id
        self.seq = begin.seq or 0
        self.change = begin.change
        self.answer, self.number = begin.answer, begin.number
        self.starts_now = begin.seq is None
        self.incarnation = incarnation
        self.is_begun = False
        self.is_over = False
        """True if no event can come any more."""
        self.is_deleted = False
        """True if the session is gone."""
        self.poll_at = 0.0
        """The time by `time.monotonic` of the next read of a session of which no notification comes."""

    def apply(self, notification: Notification, keys: SessionKeys) -> list[SessionEvent] | None:
        """Return the events of a notification, or None when the session must be read.

        Only a value that is not stored is believed. Of all else the session is asked, because a notification can be forged.
        """
        word, data = notification.word, notification.data
        if word == "delta":
            return self._heard_delta(parse_published(data), keys)
        if word == "position" and data.decode() == f"{self.incarnation} {self.seq}":
            return []
        if word == "new" and _NUMBER.fullmatch(data) and int(data) <= self.seq:
            return []
        found = _NUMBER.match(data)
        if word == "status" and found and int(found[0]) <= self.change:
            return []
        return None

    def _heard_delta(self, delta: Delta | None, keys: SessionKeys) -> list[SessionEvent] | None:
        """Return the event of a delta, none for one that is over, or None when messages or deltas before it are unknown."""
        if delta is None or delta.seq < self.seq:
            return []
        if delta.seq > self.seq:
            return None
        is_next = delta.number == (self.number + 1 if delta.answer == self.answer else 1)
        return self.deltas([delta], keys) if is_next or self._has_seen(delta) else None

    def deltas(self, deltas: Iterable[Delta], keys: SessionKeys) -> list[SessionEvent]:
        """Return the events of deltas of the answer in progress, each once. A delta that is not valid has none."""
        events = []
        for delta in deltas:
            if delta.seq == self.seq and not self._has_seen(delta):
                self.answer, self.number = delta.answer, delta.number
                with suppress(ValueError, RecursionError, CodecMissing, DecryptionError, OriginsNeeded):
                    data = from_json(decoded(keys, delta.data, "delta"))
                    events.append(self.event("delta", data=data, number=delta.number))
        return events

    def missed_delta(self, notification: Notification, keys: SessionKeys) -> list[SessionEvent]:
        """Return the event of a delta behind a read that did not find it, because it was too large to be kept."""
        delta = parse_published(notification.data) if notification.word == "delta" else None
        return self.deltas([] if delta is None else [delta], keys)

    def skip_deltas(self, deltas: Sequence[Delta]) -> None:
        """Begin behind deltas."""
        if deltas:
            self.answer, self.number = deltas[-1].answer, deltas[-1].number

    def _has_seen(self, delta: Delta) -> bool:
        return (delta.answer, delta.number) <= (self.answer, self.number)

    def event(self, kind: EventKind, **facts: Any) -> SessionEvent:
        """Return an event at this place."""
        answer = f"{self.answer}-{self.number}" if self.answer else ""
        return SessionEvent(kind, self.id, self.seq, self.change, answer=answer, **facts)

    def catch_up(self, snapshot: WatchSnapshot, messages: Iterable[Message], upper: int) -> Iterator[SessionEvent]:
        """Yield what was missed, up to a seq: messages, status changes between them, and gaps."""
        changes = [change for change in snapshot.changes if change.number > self.change]
        if changes and changes[0].number > self.change + 1:
            self.change = changes[0].number - 1
            yield self.event("gap")
        for message in messages:
            yield from self._status_events(change for change in changes if change.last_seq < message.seq)
            yield from self._gap(message.seq - 1)
            yield self._message_event(message)
        reached = min(upper, snapshot.last_seq)
        yield from self._status_events(change for change in changes if change.last_seq < reached)
        yield from self._gap(reached)
        yield from self._status_events(change for change in changes if change.last_seq <= self.seq)
        self.is_over = self.is_over or (snapshot.has_ended and self.seq >= snapshot.last_seq)

    def deleted(self) -> SessionEvent:
        """End the watch, because the session is gone."""
        self.is_over = self.is_deleted = True
        return self.event("deleted")

    def end_reason(self, pace: WatchPace) -> WatchEnd:
        """Return why the watch of this session ended."""
        if self.is_over:
            return "deleted" if self.is_deleted else "ended"
        return pace.end_reason

    def regressed(self, known: int) -> SessionEvent:
        """Go on from the seq that the server knows after a failover lost messages."""
        self._reach(known)
        return self.event("regressed")

    def check(self, snapshot: WatchSnapshot) -> None:
        """Refuse another incarnation (SessionReplaced) and lost messages (SessionRegressed)."""
        if self.incarnation and snapshot.incarnation != self.incarnation:
            raise SessionReplaced(session_id=self.id)
        self.incarnation, self.is_begun = snapshot.incarnation, True
        if self.starts_now:
            self.starts_now, self.seq = False, snapshot.last_seq
            self.change = max([0, *[change.number for change in snapshot.changes]])
        seen = [change.number for change in snapshot.changes if change.last_seq < self.seq]
        self.change = max([self.change, *seen])
        if snapshot.last_seq < self.seq:
            raise SessionRegressed(session_id=self.id, known=snapshot.last_seq, seen=self.seq)

    def _message_event(self, message: Message) -> SessionEvent:
        self._reach(message.seq)
        return self.event("message", message=message, at=message.timestamp)

    def _reach(self, seq: int) -> None:
        """Move to a seq. The answer that was made before it is over."""
        self.seq, self.answer, self.number = seq, 0, 0

    def _status_events(self, changes: Iterable[StatusChange]) -> Iterator[SessionEvent]:
        for change in changes:
            if change.number > self.change:
                self.change = change.number
                if change.status.startswith("edited:"):
                    first, at = int(change.status.removeprefix("edited:")), moment(change.at_ms)
                    yield self.event("edit", at=at, first_seq=first)
                    continue
                self.is_over = self.is_over or change.status in _FINAL
                status: Any = change.status
                yield self.event("status", status=status, at=moment(change.at_ms))

    def _gap(self, last: int) -> Iterator[SessionEvent]:
        if last > self.seq:
            first = self.seq + 1
            self._reach(last)
            yield self.event("gap", first_seq=first)


def parse_cursor(cursor: str, name: str = "cursor") -> WatchPosition:
    """Return the position of a cursor. Raises InvalidInput."""
    found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        detail = f"must be the `cursor` of an event, such as '17-2', got {cursor!r}"
        raise InvalidInput(name=name, detail=detail if len(detail) < 200 else f"{detail[:120]}…")
    return WatchPosition(*(int(word or 0) for word in found.groups()))


def parse_positions(after: Mapping[str, int | str | tuple[int, int]]) -> dict[str, WatchPosition]:
    """Return the position behind which each session is watched. Raises InvalidInput."""
    found = {}
    for id, position in mapping(after, "after").items():
        if isinstance(position, str):
            found[check_id(id, "after")] = parse_cursor(position, f"after[{id!r}]")
            continue
        seq, change = position if isinstance(position, tuple) and len(position) == 2 else (position, 0)
        found[check_id(id, "after")] = WatchPosition(whole(seq, f"after[{id!r}]"), whole(change, f"after[{id!r}]"))
    return found


def snapshot(keys: SessionKeys, incarnation: str) -> Call[WatchSnapshot]:
    """Read what a watcher that catches up needs."""

    def read(reply: list[bytes | None]) -> WatchSnapshot:
        check_incarnation(keys, reply[0], incarnation)
        found, counters, log, status = [value or b"" for value in reply]
        numbers = Counters.parse(counters)
        changes = [StatusChange.parse(line) for line in lines_of(log)]
        return WatchSnapshot(found.decode(), numbers.last_seq, numbers.dropped, status.decode() in _FINAL, changes)

    return Call(("HMGET", keys.session, "incarnation", "counters", "status_log", "status"), keys, read, writes=False)
