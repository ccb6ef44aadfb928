"""The window of a transcript that a model call gets."""

from __future__ import annotations

from collections.abc import Iterable

from .formats import MessageFormat, Payload
from .messages import Message

_LIBRARY_METADATA = ("subagent", "compaction")


class Window(list[Message]):
    """The messages for one model call, oldest first. A message of which calls or results were left out is a copy.

    The system prompt comes first, as a system message.
    """

    def __init__(
        self,
        messages: Iterable[Message] = (),
        *,
        format: MessageFormat,
        system: str | None = None,
        tokens: int = 0,
        truncated: bool = False,
        over_budget: bool = False,
    ) -> None:
        super().__init__(messages)
        self.system = system
        """The system prompt, or None. For vendors that take it as a parameter of its own."""
        self.format = format.name
        """The name of the message format that the window is valid for."""
        self.tokens = tokens
        """The tokens of the messages and the system prompt, by the token counter."""
        self.truncated = truncated
        """True if retained messages were left out, because of the budget or because a window cannot begin with them."""
        self.over_budget = over_budget
        """True if the newest group alone, with the message that a window must begin with, exceeds the budget."""
        self._format = format

    @property
    def payloads(self) -> list[Payload]:
        """The list that the vendor's API takes: the system prompt only if the vendor takes it as a message."""
        found: list[Payload] = []
        for at, message in enumerate(self):
            if at == 0 and self.system is not None:
                if self._format.has_system_messages:
                    found.append(self._format.system_message(self.system))
            else:
                found.append(_sendable(message))
        return self._format.join(found)


def _sendable(message: Message) -> Payload:
    """Return a payload without the metadata that this library adds to its own messages. No API knows them."""
    metadata = message.payload.get("metadata")
    if isinstance(metadata, dict) and any(name in metadata for name in _LIBRARY_METADATA):
        return {name: value for name, value in message.payload.items() if name != "metadata"}
    return message.payload
