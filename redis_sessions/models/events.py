"""The events that a watcher receives."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

from .messages import Message
from .sessions import Status
from .trees import OPEN_STATUSES

EventKind = Literal["message", "status", "edit", "gap", "delta", "deleted", "regressed", "heartbeat"]

WatchEnd = Literal["ended", "deleted", "timeout", "stopped"]
"""The reason why a watch ended."""


class SessionEvent(NamedTuple):
    """Something that happened in a session."""

    kind: EventKind
    """The kind of event.

    - message: a message was appended.
    - status: the status changed.
    - edit: messages from `first_seq` on were removed or replaced. Messages with new seqs follow as `message` events. Read
      `history(after_seq=first_seq - 1)` for those that keep their seqs: a redacted message, and a summary.
    - gap: messages from `first_seq` to `seq` are gone unseen, or cannot be read (`cache.watch` only). Without `first_seq`:
      changes of the status up to `change` are gone unseen.
    - delta: a caller published `data`, a part of the answer that is being made. A delta is kept until the next message.
    - deleted: the session is gone, or has another incarnation.
    - regressed: a failover lost the messages above `seq` (`cache.watch` only).
    - heartbeat: nothing happened for the `heartbeat` of the watch. The `session_id` is '' if many sessions are watched.
    """
    session_id: str
    """The session."""
    seq: int
    """The seq of the message, or of the last message before the event."""
    change: int
    """The number of status changes and edits so far."""
    message: Message | None = None
    """The message of a `message` event."""
    status: Status | None = None
    """The new status of a `status` event."""
    at: datetime | None = None
    """Server time (UTC) of a message, a status change or an edit."""
    first_seq: int | None = None
    """The first lost message of a `gap`, or the first changed message of an `edit`."""
    data: Any = None
    """The value of a `delta`."""
    number: int | None = None
    """The number of a `delta` in its answer. With 1 an answer begins, or begins again. Numbers that are left out are gone."""
    answer: str = ""
    """The answer that is being made, and the last delta of it that was yielded, as the cursor has them. '' for none."""

    @property
    def cursor(self) -> str:
        """The place of this event as one string, such as '17-2', with which `watch(cursor=)` goes on behind it."""
        return f"{self.seq}-{self.change}-{self.answer}" if self.answer else f"{self.seq}-{self.change}"

    def to_dict(self) -> dict[str, Any]:
        """Return the event as values of JSON: the fields of every event, and those of its kind."""
        fields: dict[str, Any] = {
            "kind": self.kind,
            "session_id": self.session_id,
            "seq": self.seq,
            "change": self.change,
            "cursor": self.cursor,
            "is_final": self.is_final,
        }
        fields["at"] = self.at and self.at.isoformat()
        if self.message is not None:
            one = self.message
            fields |= {"id": one.id, "role": one.role, "type": one.type, "pinned": one.pinned, "payload": one.payload}
        elif self.kind == "status":
            fields["status"] = self.status
        elif self.kind in ("gap", "edit"):
            fields["first_seq"] = self.first_seq
        elif self.kind == "delta":
            fields |= {"number": self.number, "data": self.data}
        return fields

    @property
    def is_final(self) -> bool:
        """True if this is the last event of the session, which has ended or is gone."""
        return self.kind == "deleted" or (self.kind == "status" and self.status not in OPEN_STATUSES)

    @property
    def is_stored(self) -> bool:
        """True if a later watch yields this event again."""
        return self.kind in ("message", "status", "edit")
