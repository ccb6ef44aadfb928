"""A transcript turn: a user message up to the assistant message that answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .messages import TOOL_KINDS, Message


@dataclass(frozen=True, slots=True)
class Turn:
    """One transcript turn of a session: a user message up to the assistant message that answers it.

    The turn that a worker claims is a `Run`.
    """

    number: int
    """The number, from 1."""
    entries: list[Message] = field(repr=False)
    """All messages from the user message of the turn up to the next user message."""

    @property
    def user_message(self) -> Message:
        """The message that opened the turn."""
        return self.entries[0]

    @property
    def assistant_response(self) -> Message | None:
        """The last assistant message of the turn, or None while the turn is open."""
        answers = [message for message in self.entries if message.kind == "a"]
        return answers[-1] if answers else None

    @property
    def tool_messages(self) -> list[Message]:
        """The tool messages of the turn, in order."""
        return [message for message in self.entries if message.kind in TOOL_KINDS]

    @property
    def messages(self) -> list[Message]:
        """The user message, the tool messages in order, then the response if there is one."""
        answer = self.assistant_response
        return [self.user_message, *self.tool_messages, *([answer] if answer else [])]

    @property
    def is_complete(self) -> bool:
        """True if the turn has a response."""
        return self.assistant_response is not None

    @property
    def started(self) -> datetime:
        """Server time (UTC) of the user message."""
        return self.user_message.timestamp

    @property
    def completed(self) -> datetime | None:
        """Server time (UTC) of the response, or None while the turn is open."""
        answer = self.assistant_response
        return answer.timestamp if answer else None
