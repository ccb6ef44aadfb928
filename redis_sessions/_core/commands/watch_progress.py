"""The progress of a watcher through a session, and its reading of notifications. Needs no server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from ..._durations import moment, whole
from ...errors import CodecMissing, DecryptionError, InvalidInput, SessionRegressed, SessionReplaced
from ...models.events import SessionEvent
from ...models.messages import Message
from ...models.sessions import Status
from ..protocol.call import Call, invoke
from ..protocol.chain import MAX_OVERHEAD_BYTES
from ..protocol.encoding import OriginsNeeded, decoded, encoded
from ..protocol.ids import check_id
from ..protocol.json_values import from_json, to_json
from ..protocol.keys import SessionKeys
from ..protocol.notifications import MAX_DELTA_BYTES, Notification
from ..protocol.records import Counters, StatusChange
from ..protocol.scripts import script
from .guarded_write import check_incarnation

CHUNK_MESSAGES = 100
"""Messages that a watcher reads at once when it catches up."""
_NUMBER = re.compile(rb"\d{1,16}(?!\d)")
_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")
_FINAL = set(get_args(Status)) - {"active", "paused"}


class WatchSnapshot(NamedTuple):
    """A session at one moment, as a watcher that catches up needs it."""

    incarnation: str
    last_seq: int
    dropped: int
    has_ended: bool
    changes: list[StatusChange]


class WatchProgress:
    """The progress of one watcher through one session. Yields events in order, each once."""

    def __init__(self, id: str, seq: int | None = 0, change: int = 0, incarnation: str = "") -> None:
        """Begin behind a seq and a change of the status. A seq of None begins with what comes next."""
        self.id = id
        self.seq = seq or 0
        self.change = change
        self.starts_now = seq is None
        self.incarnation = incarnation
        self.is_begun = False
        self.is_over = False
        """True if no event can come any more."""

    def apply(self, notification: Notification, keys: SessionKeys) -> list[SessionEvent] | None:
        """Return the events of a notification, or None when the session must be read.

        Only a value that is not stored is believed. Of all else the session is asked, because a notification can be forged.
        """
        word, data = notification.word, notification.data
        if word == "delta":
            return self._delta(data, keys)
        if word == "position" and data.decode() == f"{self.incarnation} {self.seq}":
            return []
        if word == "new" and _NUMBER.fullmatch(data) and int(data) <= self.seq:
            return []
        found = _NUMBER.match(data)
        if word == "status" and found and int(found[0]) <= self.change:
            return []
        return None

    def _delta(self, data: bytes, keys: SessionKeys) -> list[SessionEvent]:
        """Return the event of a value that is not stored, none if the value is not valid."""
        if len(data) > MAX_DELTA_BYTES + MAX_OVERHEAD_BYTES:
            return []
        try:
            return [SessionEvent("delta", self.id, self.seq, self.change, data=from_json(decoded(keys, data, "delta")))]
        except (ValueError, RecursionError, CodecMissing, DecryptionError, OriginsNeeded):
            return []

    def catch_up(self, snapshot: WatchSnapshot, messages: Iterable[Message], upper: int) -> Iterator[SessionEvent]:
        """Yield what was missed, up to a seq: messages, status changes between them, and gaps."""
        changes = [change for change in snapshot.changes if change.number > self.change]
        if changes and changes[0].number > self.change + 1:
            self.change = changes[0].number - 1
            yield SessionEvent("gap", self.id, self.seq, self.change)
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
        self.is_over = True
        return SessionEvent("deleted", self.id, self.seq, self.change)

    def regressed(self, known: int) -> SessionEvent:
        """Go on from the seq that the server knows after a failover lost messages."""
        self.seq = known
        return SessionEvent("regressed", self.id, known, self.change)

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
        self.seq = message.seq
        return SessionEvent("message", self.id, message.seq, self.change, message=message, at=message.timestamp)

    def _status_events(self, changes: Iterable[StatusChange]) -> Iterator[SessionEvent]:
        for change in changes:
            if change.number > self.change:
                self.change = change.number
                if change.status.startswith("edited:"):
                    first, at = int(change.status.removeprefix("edited:")), moment(change.at_ms)
                    yield SessionEvent("edit", self.id, self.seq, change.number, at=at, first_seq=first)
                    continue
                self.is_over = self.is_over or change.status in _FINAL
                status: Any = change.status
                yield SessionEvent("status", self.id, self.seq, change.number, status=status, at=moment(change.at_ms))

    def _gap(self, last: int) -> Iterator[SessionEvent]:
        if last > self.seq:
            first, self.seq = self.seq + 1, last
            yield SessionEvent("gap", self.id, last, self.change, first_seq=first)


def parse_cursor(cursor: str, name: str = "cursor") -> tuple[int, int]:
    """Return the seq and the change of a cursor. Raises InvalidInput."""
    found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        detail = f"must be the `cursor` of an event, such as '17-2', got {cursor!r}"
        raise InvalidInput(name=name, detail=detail if len(detail) < 200 else f"{detail[:120]}…")
    return int(found[1]), int(found[2])


def parse_positions(after: Mapping[str, int | str | tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Return the seq and the change behind which each session is watched. Raises InvalidInput."""
    found = {}
    for id, position in after.items():
        if isinstance(position, str):
            position = parse_cursor(position, f"after[{id!r}]")
        seq, change = position if isinstance(position, tuple) and len(position) == 2 else (position, 0)
        found[check_id(id, "after")] = (whole(seq, f"after[{id!r}]"), whole(change, f"after[{id!r}]"))
    return found


def snapshot(keys: SessionKeys, incarnation: str) -> Call[WatchSnapshot]:
    """Read what a watcher that catches up needs."""

    def read(reply: list[bytes | None]) -> WatchSnapshot:
        check_incarnation(keys, reply[0], incarnation)
        found, counters, log, status = [value or b"" for value in reply]
        numbers = Counters.parse(counters)
        changes = [StatusChange.parse(line) for line in log.decode().splitlines()]
        return WatchSnapshot(found.decode(), numbers.last_seq, numbers.dropped, status.decode() in _FINAL, changes)

    return Call(("HMGET", keys.session, "incarnation", "counters", "status_log", "status"), keys, read, writes=False)


def publish(keys: SessionKeys, incarnation: str, data: Any) -> Call[None]:
    """Tell the watchers something that is not stored. Raises InvalidInput."""
    text = to_json(data, "data")
    size = len(text.encode())
    if size > MAX_DELTA_BYTES:
        raise InvalidInput(name="data", detail=f"must have at most {MAX_DELTA_BYTES} bytes of JSON, got {size}")
    return invoke(
        script("messages/publish"),
        keys,
        lambda reply: None,
        incarnation=incarnation,
        text=encoded(keys, "deltas", text.encode(), "delta"),
        writes=False,
    )
