# Generated from _async/api/part.py by tools/mirror.py; edit that file.
"""The handle on one part of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..._core.commands import parts
from ..._core.commands.messages import PAGE, MessageLike
from ..._durations import whole
from ..._pickling import NotPicklable
from ...models.messages import Message
from ...models.parts import PartAppend, PartInfo
from .session_base import SessionBase


class Part(NotPicklable):
    """One part of a session, by its name: a transcript inside the session, such as that of a subagent.

    A part has no cap, no pins, no groups and no window. A part ends with its session. The first append makes the part. Writes
    obey the session's lease, its incarnation and its bounds, and extend its life. Writes change neither the session's messages
    nor its revision. Every method raises SessionNotFound when the session is gone.
    """

    _instead = "send the ID of the session and the name, and call `session(id).part(name)` of a cache there"

    def __init__(self, session: SessionBase, name: str) -> None:
        self._session = session
        self.name = parts.check_part_name(name)
        """The part's name."""

    def append(
        self, *batch: MessageLike, batch_id: str | None = None, ids: Sequence[str | None] | None = None
    ) -> PartAppend:
        """Append messages in order: all or none, and exactly once for a `batch_id`.

        Args:
            *batch: messages, as dicts, Message or objects of an SDK, 1 to 2,000 (bound `batch_messages`).
            batch_id: an ID among the last 64 appends to this part returns its first result and writes nothing.
            ids: an ID for each message, or None for a message without one. A message whose ID the part has is left out, however
                long ago it was appended. 1 to 128 characters.

        Returns:
            The place of what was stored, and the number of messages that were left out.

        Raises:
            SessionNotActive: the session is paused or has ended.
            SessionLocked, LeaseLost: another worker holds the session's lease.
            MessageTooLarge: a message is larger than the session's `max_message_bytes`.
            BoundExceeded: the parts of the session would exceed the bound `parts`, `part_messages` or `parts_bytes`.
            OutcomeUnknown: no answer came within `retry_for`. The error has the batch ID, with which the append can be repeated.
            InvalidInput: a message or an ID is not valid.

        Cost: one round trip, atomic. The cost grows neither with the length of the part nor with the number of parts.
        """
        session = self._session
        return session._run(
            parts.append(
                session._keys, *session._guard(), self.name, batch, session._counter, batch_id=batch_id, ids=ids,
                bounds=session._context.bounds,
            )
        )  # fmt: skip

    def put(self, message: MessageLike, id: str, *, create: bool = True) -> int:
        """Store a message under its ID: in the place of the message that has the ID, or as the last one.

        Nothing of the former message stays. The session's updated time stays, too.

        Args:
            message: the message.
            id: its ID, 1 to 128 characters.
            create: False stores nothing when the part has no message with the ID.

        Returns:
            The seq of the message, 0 if nothing was stored.

        Cost: one round trip, atomic.
        """
        return self._put(message, id, 0, may_add=create)

    def replace(self, seq: int, message: MessageLike) -> bool:
        """Replace the message with a seq, which keeps its time and its ID. Return whether there was one.

        Nothing of the former message stays. The session's updated time stays, too.
        """
        return self._put(message, None, whole(seq, "seq", minimum=1), may_add=False) > 0

    def _put(self, message: MessageLike, id: str | None, seq: int, *, may_add: bool) -> int:
        session = self._session
        return session._run(
            parts.put(
                session._keys, *session._guard(), self.name, message, session._counter, id=id, seq=seq, may_add=may_add,
                bounds=session._context.bounds,
            )
        )  # fmt: skip

    def get(self, id: str) -> Message | None:
        """Return the message with an ID, or None. One round trip."""
        session = self._session
        page = session._executor.run(
            parts.read(session._keys, session._incarnation, self.name, id=parts.checked_message_id(id))
        )
        return page.messages[0] if page.messages else None

    def history(self, limit: int | None = None, *, after_seq: int = 0, before_seq: int | None = None) -> list[Message]:
        """Return the newest messages of a range, oldest first. An empty list for a part that does not exist.

        Args:
            limit: the number of messages, 0 or more. Default: all.
            after_seq: only messages with a higher seq.
            before_seq: only messages with a lower seq.

        Raises:
            InvalidState: a message is damaged. The error names its seq.
            InvalidInput: an argument is out of its bounds.

        Cost: one round trip for each 1,000 messages or 1 MiB.
        """
        after = whole(after_seq, "after_seq")
        below = 0 if before_seq is None else whole(before_seq, "before_seq", minimum=1)
        left = None if limit is None else whole(limit, "limit")
        session, incarnation, found = self._session, self._session._incarnation, list[Message]()
        if left == 0 or below == 1:
            return found
        while True:
            size = PAGE if left is None else min(left - len(found), PAGE)
            page = session._executor.run(
                parts.read(session._keys, incarnation, self.name, after=after, below=below, limit=size)
            )
            found = page.messages + found
            if not page.below or not page.messages or len(found) == left:
                return found
            below = page.below

    def info(self) -> PartInfo | None:
        """Return the number, bytes, seqs and times of the part, or None for a part that does not exist. One round trip."""
        session = self._session
        page = session._executor.run(parts.read(session._keys, session._incarnation, self.name, limit=0))
        return page.info

    def clear(self) -> int:
        """Remove all messages at once. The part stays, and its seqs go on. Return how many messages were removed.

        Cost: one round trip for each 1,000 messages. The first call takes all of them out for every reader.
        """
        return (self._remove("clear")).removed

    def delete(self) -> bool:
        """Delete the part with its messages. Return whether it existed.

        Cost: one round trip for each 1,000 messages. The first call takes the part out for every reader.
        """
        return (self._remove("delete")).existed

    def _remove(self, mode: Literal["clear", "delete"]) -> parts.Removal:
        session = self._session
        removal = found = session._run(parts.remove(session._keys, *session._guard(), self.name, mode))
        while removal.is_left:
            removal = session._run(parts.remove(session._keys, *session._guard(), self.name, "rest"))
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} of {self._session.id!r})"
