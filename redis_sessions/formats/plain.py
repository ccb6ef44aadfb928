"""Plain messages: a role and text, as most vendors take them, and the entry types of this library.

The format is the fallback. It takes each payload with a known role or type that no other format took.
"""

from __future__ import annotations

from collections.abc import Callable

from ..models.formats import Facts, MessageFormat, Payload
from ..models.messages import text_of

_KIND_OF_ROLE = {
    "system": "system_message",
    "developer": "system_message",
    "user": "user_message",
    "human": "user_message",
    "assistant": "assistant_message",
    "ai": "assistant_message",
    "model": "assistant_message",
    "tool": "tool_message",
    "function": "tool_message",
}
_KIND_OF_TYPE = {
    "system": "system_message",
    "user": "user_message",
    "human": "user_message",
    "assistant": "assistant_message",
    "ai": "assistant_message",
    "tool": "tool_message",
    "function_call": "tool_call",
    "function_call_output": "tool_message",
}
_ENTRY_TYPES = (
    "system_message",
    "user_message",
    "assistant_message",
    "tool_message",
    "tool_call",
    "skill_execution",
    "evaluation_result",
    "system_event",
)
FACTS_OF_ROLE = {role: Facts(kind) for role, kind in _KIND_OF_ROLE.items()}
"""The facts of a message that neither makes calls nor holds results, for each role."""
_FACTS_OF_TYPE = {type: Facts(kind) for type, kind in _KIND_OF_TYPE.items()} | {
    type: Facts(type) for type in _ENTRY_TYPES
}


class PlainFormat(MessageFormat):
    """Messages without tool calls, in the form that most vendors share."""

    name = "plain"

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts by the role, else by the type. None if both are unknown."""
        try:
            return FACTS_OF_ROLE[payload["role"]]
        except (KeyError, TypeError):
            found = payload.get("type")
            return _FACTS_OF_TYPE.get(found) if isinstance(found, str) else None

    def text(self, payload: Payload) -> str:
        """Return the content as text: a string itself, the text of blocks, else JSON. '' for None."""
        return text_of(payload.get("content"))

    def user_message(self, text: str) -> Payload:
        """Return a user message with a text."""
        return {"role": "user", "content": text}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a tool message with the result of one call."""
        return {"role": "tool", "tool_call_id": call_id, "content": text}

    def keep(
        self, payload: Payload, keeps_call: Callable[[str], bool], keeps_result: Callable[[str], bool]
    ) -> Payload | None:
        """Return the payload, because it holds neither calls nor results."""
        return payload
