"""Writers make the messages of one vendor format, as the vendor's SDK makes them. Every text has a mark of its own."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Payload = dict[str, Any]
TOOLS = ("search", "read_file", "get_weather", "run_tests", "open_ticket", "book_flight", "list_users")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = PIXEL[:92] * 20
"""Base64 text as long as that of a small image."""


class Call(NamedTuple):
    """One tool call: its ID, its tool, and the mark in its arguments."""

    id: str
    tool: str
    mark: str


@dataclass(frozen=True)
class Entry:
    """One message with all that the test has to know of it."""

    payload: Payload
    mark: str = ""
    """A text that no other message has. '' if the message has calls, results or reasoning only."""
    calls: tuple[str, ...] = ()
    results: tuple[tuple[str, str], ...] = ()
    """The IDs of the calls that it answers, each with the mark of the result."""
    tools: tuple[str, ...] = ()
    """The tool of each call. '' for a call that a function's result does not answer."""
    is_user: bool = False
    is_system: bool = False

    def redacted(self) -> Entry:
        """Return the message with another text and the same calls, results and marks."""
        text = json.dumps(self.payload)
        for mark in (self.mark, *(mark for _, mark in self.results)):
            text = text.replace(mark, f"{mark} removed") if mark else text
        return replace(self, payload=json.loads(text))


class Writer(ABC):
    """Make messages of one format. A subclass makes the payloads, and this class adds marks."""

    name = ""
    is_user_first = False
    has_system = True
    ids = "call_{}"

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.count = 0
        self.reasoning_of: dict[str, str] = {}

    def number(self) -> int:
        """Return the next number. A number is never used twice."""
        self.count += 1
        return self.count

    def mark(self) -> str:
        """Return a text that no other message has."""
        return f"#{self.number()}#" + " lorem" * self.rng.choice((0, 0, 3, 30))

    def new_calls(self, count: int, used: Sequence[str] = (), busy: Sequence[str] = ()) -> list[Call]:
        """Return new calls. The IDs are new, or used before by calls that are not busy."""
        again = [id for id in dict.fromkeys(used) if id not in busy]
        calls: list[Call] = []
        for _ in range(count):
            id = self.ids.format(self.number())
            if again and self.rng.random() < 0.1:
                id = again.pop(self.rng.randrange(len(again)))
            calls.append(Call(id, self.rng.choice(TOOLS), self.mark()))
        return calls

    def user(self) -> Entry:
        """Return a user message with text or an image."""
        mark = self.mark()
        payload = self.image_payload(mark) if self.rng.random() < 0.1 else self.user_payload(mark)
        return Entry(payload, mark, is_user=True)

    def system(self) -> Entry:
        """Return a system message."""
        mark = self.mark()
        return Entry(self.system_payload(mark), mark, is_system=True)

    def answer(self) -> list[Entry]:
        """Return an assistant message without calls."""
        mark = self.mark()
        return [Entry(self.answer_payload(mark, self.rng.random() < 0.3), mark)]

    def calling(self, calls: Sequence[Call]) -> list[Entry]:
        """Return the messages that make calls, which belong in one append."""
        mark = self.mark() if self.rng.random() < 0.4 else ""
        payload = self.calls_payload(calls, mark, self.rng.random() < 0.5)
        return [Entry(payload, mark, tuple(call.id for call in calls), tools=tuple(call.tool for call in calls))]

    def answering(self, calls: Sequence[Call], together: bool) -> list[Entry]:
        """Return the messages with the results of calls: one message, or a message a result."""
        groups = [list(calls)] if together and self.joins else [[call] for call in calls]
        marked = [[call._replace(mark=self.mark()) for call in group] for group in groups]
        return [
            Entry(self.results_payload(group), results=tuple((call.id, call.mark) for call in group))
            for group in marked
        ]

    @property
    def joins(self) -> bool:
        """Return whether one message can hold several results."""
        return True

    def user_payload(self, text: str) -> Payload:
        """Return a user message with text."""
        return {"role": "user", "content": text}

    @abstractmethod
    def image_payload(self, text: str) -> Payload:
        """Return a user message with text and an image."""

    def system_payload(self, text: str) -> Payload:
        """Return a system message."""
        return {"role": "system", "content": text}

    def answer_payload(self, text: str, thinks: bool) -> Payload:
        """Return an assistant message."""
        return {"role": "assistant", "content": text}

    @abstractmethod
    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        """Return an assistant message with calls."""

    @abstractmethod
    def results_payload(self, calls: Sequence[Call]) -> Payload:
        """Return a message with results. The mark of each call is the text of its result."""
