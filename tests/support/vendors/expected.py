"""Expectations for the windows of a transcript, worked out from the entries that are retained."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import ai_sdk, anthropic, bedrock, gemini, langchain, openai_chat, openai_responses, pydantic_ai
from .pairing import Links
from .writer import Entry, Payload, Writer

_LINKS = {
    "openai_chat": openai_chat.links, "anthropic": anthropic.links, "gemini": gemini.links, "bedrock": bedrock.links,
    "langchain": langchain.links, "pydantic_ai": pydantic_ai.links, "ai_sdk": ai_sdk.links,
    "claude_code": lambda payload: anthropic.links(payload.get("message") or {}),
    "openai_responses": openai_responses.links,
}  # fmt: skip
MARK = re.compile(r"#\d+#( lorem)*")


class Register:
    """All entries that were ever written, by payload. The library writes user messages and results of its own."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._entries: dict[str, Entry] = {}

    def add(self, entries: Iterable[Entry]) -> list[Payload]:
        """Remember entries. Return their payloads."""
        added = list(entries)
        self._entries |= {json.dumps(entry.payload, sort_keys=True): entry for entry in added}
        return [entry.payload for entry in added]

    def reasoning_of(self) -> dict[str, str]:
        """Return the reasoning item that each Responses item needs, if the reasoning item was ever written."""
        written = {entry.payload.get("id") for entry in self._entries.values()}
        return {item: reasoning for item, reasoning in self.writer.reasoning_of.items() if reasoning in written}

    def entry(self, payload: Payload) -> Entry:
        """Return the entry of a payload."""
        found = self._entries.get(json.dumps(payload, sort_keys=True))
        if found is not None:
            return found
        links: Links = _LINKS[self.writer.name](payload)
        match = MARK.search(json.dumps(payload))
        mark = match[0] if match else ""
        if links.results:
            return Entry(payload, "", links.calls, tuple((id.removesuffix("/1"), mark) for id in links.results))
        return Entry(payload, mark, links.calls, is_user=True)


@dataclass
class Expected:
    """The marks that a transcript's windows must have."""

    whole: list[str] = field(default_factory=list)
    """The marks of a window without a limit, in their order."""
    newest: list[str] = field(default_factory=list)
    """The marks of the newest message, if a model can be shown the message."""
    open_calls: list[tuple[str, str]] = field(default_factory=list)
    """The calls without a result that a child can answer: ID and tool name."""
    has_user: bool = False
    has_tools: bool = False

    def missing(self, payloads: list[dict[str, Any]], *, whole: bool) -> list[str]:
        """Return the marks that a window lacks."""
        text = json.dumps(payloads)
        return [mark for mark in (self.whole if whole else self.newest) if mark not in text]


def expected(entries: Sequence[Entry], is_user_first: bool, late: Container[int] = ()) -> Expected:
    """Return the expectations for a transcript.

    Args:
        entries: the retained messages.
        is_user_first: True if the vendor wants a user message first.
        late: the positions of messages whose results came when their calls had been given up.
    """
    open_calls: dict[str, int] = {}
    answered: dict[int, list[tuple[int, str]]] = {}
    for number, entry in enumerate(entries):
        for id, mark in entry.results:
            if id in open_calls:
                answered.setdefault(number, []).append((open_calls.pop(id), mark))
        open_calls |= dict.fromkeys(entry.calls, number)
    users = [number for number, entry in enumerate(entries) if entry.is_user]
    start = 0 if not is_user_first else users[0] if users else len(entries)
    has_tools = any(entry.calls or entry.results for entry in entries)
    found = Expected(
        has_user=bool(users),
        has_tools=has_tools,
        open_calls=[
            (id, tool)
            for id, number in open_calls.items()
            for call, tool in zip(entries[number].calls, entries[number].tools, strict=False)
            if call == id and tool
        ],
    )
    for number, entry in enumerate(entries):
        marks = [entry.mark] if entry.mark and not entry.calls and not entry.is_system and number >= start else []
        if number not in late:
            marks += [mark for call, mark in answered.get(number, []) if mark and call >= start]
        found.whole += marks
        found.newest = marks
    return found
