"""Lines of Claude Code's transcripts, and messages of its SDK: an Anthropic message inside a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..models.formats import Facts, MessageFormat, Payload
from ._blocks import id_of, text_of_blocks
from ._parts import Keeps
from .anthropic import AnthropicFormat

_KIND_OF_ROLE = {"user": "user_message", "assistant": "assistant_message"}
_EVENTS = frozenset(
    (
        "system",
        "summary",
        "result",
        "progress",
        "attachment",
        "file-history-snapshot",
        "queue-operation",
        "permission-mode",
        "last-prompt",
        "custom-title",
        "ai-title",
        "agent-name",
    )
)
"""The types of lines that a model never gets."""
_MARKS = ("uuid", "parentUuid", "leafUuid", "sessionId", "session_id", "messageId")


class ClaudeCodeFormat(MessageFormat):
    """Records of the types user and assistant with a `message`, and records about the session."""

    name = "claude_code"
    starts_with_user = True
    has_system_messages = False

    def __init__(self) -> None:
        self._inner = AnthropicFormat()

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts of the Anthropic message in a record. Other records are events."""
        type = payload.get("type")
        if not isinstance(type, str) or "role" in payload:
            return None
        if type in _EVENTS:
            return Facts("system_event") if _is_marked(payload) else None
        message = _message_in(payload)
        if message is None:
            return None
        return self._inner.facts(message) or Facts(_KIND_OF_ROLE[message["role"]])

    def text(self, payload: Payload) -> str:
        """Return the text of the message in a record. For an event its content or summary."""
        message = _message_in(payload)
        if message is not None:
            return self._inner.text(message)
        return text_of_blocks(payload.get("content")) or text_of_blocks(payload.get("summary"))

    def user_message(self, text: str) -> Payload:
        """Return a user record without the IDs that Claude Code gives to its lines."""
        return {"type": "user", "message": self._inner.user_message(text)}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a user record with the result of one call."""
        return {"type": "user", "message": self._inner.call_result(call_id, tool_name, text)}

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload | None:
        """Return a user record with a synthetic result of one call. None for a call that the API itself runs."""
        message = self._inner.answer(_message_in(payload) or {}, call_id, text)
        return None if message is None else {"type": "user", "message": message}

    def part_of(self, payload: Payload) -> str:
        """Return the ID of the API's message. Claude Code writes a line for each of its blocks."""
        message = _message_in(payload) or {}
        return id_of(message.get("id")) if payload.get("type") == "assistant" else ""

    def programs(self, payload: Payload) -> tuple[str, ...]:
        """Return the IDs of the code executions by which blocks were made."""
        return self._inner.programs(_message_in(payload) or {})

    def is_going_on(self, payload: Payload, call_id: str, behind: Sequence[Payload]) -> bool:
        """Return True for a call that the API itself runs."""
        return self._inner.is_going_on(_message_in(payload) or {}, call_id, behind)

    def keep(self, payload: Payload, keeps_call: Keeps, keeps_result: Keeps) -> Payload | None:
        """Return the record with the kept part of its message. `toolUseResult` leaves with a result."""
        message = _message_in(payload)
        if message is None or self._inner.facts(message) is None:
            return payload
        kept = self._inner.keep(message, keeps_call, keeps_result)
        if kept is None or kept is message:
            return payload if kept is message else None
        return {key: value for key, value in payload.items() if key != "toolUseResult"} | {"message": kept}


def _is_marked(payload: Payload) -> bool:
    return any(key in payload for key in _MARKS)


def _message_in(payload: Payload) -> dict[str, Any] | None:
    """Return the Anthropic message in a record of the same role. None if there is none."""
    message = payload.get("message")
    if not isinstance(message, dict) or payload.get("type") not in ("user", "assistant"):
        return None
    role = message.get("role", payload["type"])
    if role not in tuple(_KIND_OF_ROLE):
        return None
    return message if "role" in message else {**message, "role": role}
