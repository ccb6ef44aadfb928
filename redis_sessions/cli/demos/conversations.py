"""Conversations: read them from JSON Lines (plain or .gz) of {"id", "user_id", "messages": [chat messages]}, or make some up."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._core.protocol.ids import check_id
from ..._core.protocol.json_values import to_json
from ...errors import InvalidInput
from ...models.messages import kind_of


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation. A plain system message at its beginning is the system prompt, which does not count for the cap."""

    id: str
    user_id: str | None
    system_prompt: str | None
    messages: list[dict[str, Any]]

    @property
    def total(self) -> int:
        """The messages of the input, including the system prompt."""
        return len(self.messages) + (self.system_prompt is not None)


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that does not hold a conversation: its number, from 1, and the reason."""

    number: int
    reason: str


def read_conversations(path: Path) -> Iterator[Conversation | BrokenLine]:
    """Yield the lines of a file, read one by one. Blank lines are skipped. Raises InvalidInput."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as lines:
            seen: set[str] = set()
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _conversation(number, line, seen)
    except (OSError, EOFError, zlib.error) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise InvalidInput(name="FILE", detail=f"cannot read {path}: {reason}") from None


def _conversation(number: int, line: bytes, seen: set[str]) -> Conversation | BrokenLine:
    try:
        fields = json.loads(line.decode())
        if not isinstance(fields, dict) or not isinstance(fields.get("messages"), list):
            return BrokenLine(number, 'must be an object with "id" and a list of "messages"')
        id = check_id(fields.get("id"))  # type: ignore[arg-type]
        if id in seen:
            return BrokenLine(number, f"the id {id!r} must be unique, and an earlier line has it")
        user_id = fields.get("user_id")
        if user_id is not None:
            check_id(user_id, "user_id")
        messages = fields["messages"]
        for message in messages:
            kind_of(message)
            to_json(message, "message")
    except json.JSONDecodeError as problem:
        return BrokenLine(number, f"must be JSON: {problem.msg} at column {problem.pos + 1}")
    except (ValueError, RecursionError) as problem:
        return BrokenLine(number, str(problem))
    seen.add(id)
    head = messages[0] if messages else {}
    if head.get("role") == "system" and set(head) == {"role", "content"} and isinstance(head["content"], str):
        return Conversation(id, user_id, head["content"], messages[1:])
    return Conversation(id, user_id, None, messages)


def made_up_conversations(count: int = 24, exchanges: int = 8) -> Iterator[Conversation]:
    """Yield conversations for the demo: an assistant finds bags with a tool."""
    for number in range(1, count + 1):
        messages: list[dict[str, Any]] = []
        for step in range(1, exchanges + 1):
            call = f"call-{number}-{step}"
            arguments = json.dumps({"bag": f"B{number:02}{step:02}"})
            messages += [
                {"role": "user", "content": f"Where is bag B{number:02}{step:02}?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": call, "type": "function", "function": {"name": "find_bag", "arguments": arguments}}
                    ],
                },
                {"role": "tool", "tool_call_id": call, "name": "find_bag", "content": f"belt {step}, flight {number}"},
                {"role": "assistant", "content": f"It is on belt {step}, from flight {number}."},
            ]
        yield Conversation(f"demo-{number:02}", f"user-{number % 5}", "You help travellers find their bags.", messages)
