"""Watching: what a watcher has seen, and what it makes of what it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from ..errors import InvalidInput, SessionRegressed, SessionReplaced
from ..models.events import SessionEvent
from ..models.messages import Message
from ..models.sessions import Status
from .calls import Call, invoke
from .codec import decode, from_json, to_json
from .ids import check_id
from .keys import SessionKeys
from .leases import Told
from .scripts import script
from .sessions import belongs
from .units import moment, whole

CHUNK = 100
DELTA_BYTES = 65_536
_FINAL = set(get_args(Status)) - {"active", "paused"}


class Change(NamedTuple):
    """A change of a session's status: which it was, behind which message, when, and to what."""

    number: int
    seq: int
    ms: int
    status: Any


class Standing(NamedTuple):
    """How a session stands, for who catches up."""

    life: str
    last: int
    dropped: int
    has_ended: bool
    changes: list[Change]


class Progress:
    """How far somebody has seen a session. Events come out of it in order, each once."""

    def __init__(self, id: str, seq: int | None = 0, change: int = 0, life: str = "") -> None:
        self.id = id
        self.seq = seq or 0
        self.change = change
        self.is_new = seq is None
        """It begins with what comes from now on."""
        self.life = life
        self.is_begun = False
        self.is_over = False
        """Whether nothing more can come."""

    def told(self, told: Told) -> list[SessionEvent] | None:
        """What is to be yielded; None when something is missing and is to be read."""
        if told.word == "new":
            return self._messages(told.data)
        if told.word == "status":
            change = _change(told.data.decode())
            if change.number <= self.change:
                return []
            in_order = change.number == self.change + 1 and change.seq == self.seq
            return list(self._changed([change])) if in_order else None
        if told.word == "delta":
            return [SessionEvent("delta", self.id, self.seq, self.change, data=from_json(told.data))]
        if told.word == "gone":
            return [self.deleted()]
        if told.word == "reached" and told.data.decode() == f"{self.life} {self.seq}":
            return []
        return None

    def caught_up(self, standing: Standing, messages: Iterable[Message], upper: int) -> Iterator[SessionEvent]:
        """What was missed, up to a seq: messages, what stands between them, and what is gone."""
        changes = [change for change in standing.changes if change.number > self.change]
        if changes and changes[0].number > self.change + 1:
            self.change = changes[0].number - 1
            yield SessionEvent("gap", self.id, self.seq, self.change)
        for message in messages:
            yield from self._changed(change for change in changes if change.seq < message.seq)
            yield from self._gap(message.seq - 1)
            yield self._seen(message)
        reached = min(upper, standing.last)
        yield from self._changed(change for change in changes if change.seq < reached)
        yield from self._gap(reached)
        yield from self._changed(change for change in changes if change.seq <= self.seq)
        self.is_over = self.is_over or (standing.has_ended and self.seq >= standing.last)

    def deleted(self) -> SessionEvent:
        self.is_over = True
        return SessionEvent("deleted", self.id, self.seq, self.change)

    def check(self, standing: Standing) -> None:
        """Refuses a history that went back, for a failover lost what was seen, and another life of the session."""
        if self.life and standing.life != self.life:
            raise SessionReplaced(session_id=self.id)
        self.life, self.is_begun = standing.life, True
        if self.is_new:
            self.is_new, self.seq, self.change = False, standing.last, max([0, *[c.number for c in standing.changes]])
        self.change = max([self.change, *[c.number for c in standing.changes if c.seq < self.seq]])
        if standing.last < self.seq:
            raise SessionRegressed(session_id=self.id, known=standing.last, seen=self.seq)

    def regressed(self, known: int) -> SessionEvent:
        """Goes on from what the server knows."""
        self.seq = known
        return SessionEvent("regressed", self.id, known, self.change)

    def _messages(self, data: bytes) -> list[SessionEvent] | None:
        head, _, rest = data.partition(b" ")
        seq, found = int(head), []
        if seq > self.seq + 1:
            return None
        while rest:
            size, _, rest = rest.partition(b" ")
            if seq == self.seq + 1:
                found.append(self._seen(decode(rest[: int(size)], seq, self.life)))
            rest, seq = rest[int(size) :], seq + 1
        return found

    def _seen(self, message: Message) -> SessionEvent:
        self.seq = message.seq
        return SessionEvent("message", self.id, message.seq, self.change, message=message, at=message.timestamp)

    def _changed(self, changes: Iterable[Change]) -> Iterator[SessionEvent]:
        for change in changes:
            if change.number > self.change:
                self.change = change.number
                self.is_over = self.is_over or change.status in _FINAL
                at = moment(change.ms)
                yield SessionEvent("status", self.id, self.seq, change.number, status=change.status, at=at)

    def _gap(self, last: int) -> Iterator[SessionEvent]:
        if last > self.seq:
            first, self.seq = self.seq + 1, last
            yield SessionEvent("gap", self.id, last, self.change, first_seq=first)


def places(after: Mapping[str, int | tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Where somebody was in each session: behind a seq, and behind so many changes."""
    found = {}
    for id, place in after.items():
        seq, change = place if isinstance(place, tuple) and len(place) == 2 else (place, 0)
        found[check_id(id, "after")] = (whole(seq, f"after[{id!r}]"), whole(change, f"after[{id!r}]"))
    return found


def standing(keys: SessionKeys, life: str) -> Call[Standing]:
    def read(reply: list[bytes | None]) -> Standing:
        belongs(keys, reply[0], life)
        found, counts, changes, status = [(value or b"").decode() for value in reply]
        _, last, dropped = counts.split()[:3]
        return Standing(
            found, int(last), int(dropped), status in _FINAL, [_change(line) for line in changes.splitlines()]
        )

    return Call(("HMGET", keys.session, "life", "counts", "changes", "status"), keys, read, writes=False)


def publish(keys: SessionKeys, life: str, data: Any) -> Call[None]:
    text = to_json(data, "data")
    if len(text.encode()) > DELTA_BYTES:
        raise InvalidInput(name="data", detail=f"{len(text.encode())} bytes; what is not stored may have {DELTA_BYTES}")
    return invoke(script("messages/publish"), keys, lambda reply: None, life=life, text=text, writes=False)


def _change(text: str) -> Change:
    number, seq, ms, status = text.split()
    return Change(int(number), int(seq), int(ms), status)
