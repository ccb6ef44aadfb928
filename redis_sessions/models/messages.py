"""A message: one entry of a session. Its payload is the caller's JSON object, kept as it was given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from .._durations import moment
from ..errors import InvalidInput

# The kind of a message is one letter in the store: a role, or an entry type.
KINDS: dict[str, tuple[str, str]] = {
    "s": ("system", "system_message"),
    "u": ("user", "user_message"),
    "a": ("assistant", "assistant_message"),
    "t": ("tool", "tool_message"),
    "c": ("tool", "tool_call"),
    "k": ("tool", "skill_execution"),
    "e": ("system", "evaluation_result"),
    "v": ("system", "system_event"),
}
KIND_OF_ROLE = {"system": "s", "user": "u", "assistant": "a", "tool": "t"}
KIND_OF_TYPE = {type: kind for kind, (_, type) in KINDS.items()}
TOOL_KINDS = "tc"

# Names that frameworks use for these roles, and for items that have a type instead of a role.
_FOREIGN_ROLES = {"developer": "s", "human": "u", "ai": "a", "model": "a", "function": "t"}
_FOREIGN_TYPES = {
    "system": "s",
    "human": "u",
    "user": "u",
    "ai": "a",
    "assistant": "a",
    "tool": "t",
    "function_call": "c",
    "function_call_output": "t",
}
_OF_ROLE = KIND_OF_ROLE | _FOREIGN_ROLES
_OF_TYPE = KIND_OF_TYPE | _FOREIGN_TYPES


class Message:
    """One message.

    A caller makes it from a role and content, or from any JSON object with `payload=`. A stored message has `seq`, `id` and
    `timestamp`, and `batch_id` names the append that wrote it. The payload comes back equal, key order included.
    """

    __slots__ = ("_incarnation", "_ms", "batch_id", "kind", "payload", "pinned", "seq", "tokens")

    def __init__(
        self,
        role: str | None = None,
        content: Any = None,
        *,
        name: str | None = None,
        tool_call_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        payload: Mapping[str, Any] | BaseModel | None = None,
        pinned: bool = False,
        tokens: int | None = None,
    ) -> None:
        """Make a message from `role` and `content`, or from a `payload`.

        Args:
            role: system, user, assistant or tool. With a payload: the role if the payload has none.
            content: text, or any JSON value.
            name: the payload's `name`.
            tool_call_id: the ID of the call that a tool message answers.
            metadata: the payload's `metadata`.
            payload: a JSON object, or a pydantic model, that is the whole payload.
            pinned: keep the message whatever the cap drops.
            tokens: its tokens, instead of the token counter's estimate.

        Raises:
            InvalidInput: the message has no role that is known.
        """
        if payload is None:
            payload = {"role": role, "content": content}
            optional = {"name": name, "tool_call_id": tool_call_id, "metadata": dict(metadata) if metadata else None}
            payload.update({key: value for key, value in optional.items() if value is not None})
        elif isinstance(payload, BaseModel):
            payload = payload.model_dump(mode="json")
        self.payload: dict[str, Any] = payload  # type: ignore[assignment]
        self.kind = kind_of(payload, role)
        self.pinned = pinned
        self.tokens = tokens
        self.seq = 0
        self.batch_id = ""
        self._ms = 0
        self._incarnation = ""

    @classmethod
    def tool_call(cls, tool_name: str, content: Any = None, *, success: bool = True) -> Message:
        """Return an entry about one use of a tool."""
        return cls(payload={"type": "tool_call", "tool_name": tool_name, "success": success, "content": content})

    @classmethod
    def skill_execution(cls, skill_name: str, content: Any = None, *, success: bool = True) -> Message:
        """Return an entry about one run of a skill."""
        return cls(
            payload={"type": "skill_execution", "skill_name": skill_name, "success": success, "content": content}
        )

    @classmethod
    def evaluation_result(
        cls, score: float, metrics: Mapping[str, float] | None = None, content: Any = None
    ) -> Message:
        """Return an entry with the result of an evaluation."""
        fields = {"type": "evaluation_result", "score": score, "metrics": dict(metrics or {}), "content": content}
        return cls(payload=fields)

    @classmethod
    def system_event(cls, event: str, content: Any = None) -> Message:
        """Return an entry about an event outside the conversation."""
        return cls(payload={"type": "system_event", "event": event, "content": content})

    @classmethod
    def agent_response(
        cls,
        content: str,
        *,
        session_id: str | None = None,
        seed_id: str | None = None,
        phase_reached: str | None = None,
        evaluation_passed: bool | None = None,
    ) -> Message:
        """Return an assistant message with the session, seed, phase and evaluation that it came from. None is left out."""
        facts = {
            "session_id": session_id,
            "seed_id": seed_id,
            "phase_reached": phase_reached,
            "evaluation_passed": evaluation_passed,
        }
        given = {name: value for name, value in facts.items() if value is not None}
        return cls(payload={"role": "assistant", "content": content, **given})

    @property
    def role(self) -> str:
        """system, user, assistant or tool."""
        return KINDS[self.kind][0]

    @property
    def type(self) -> str:
        """user_message, assistant_message, system_message, tool_message, tool_call, skill_execution, …"""
        return KINDS[self.kind][1]

    @property
    def id(self) -> str:
        """Unique over all sessions and incarnations. '' before the message is stored."""
        return f"{self._incarnation}-{self.seq}" if self._incarnation else ""

    @property
    def timestamp_ms(self) -> int:
        """Server time when it was stored, in ms since the epoch. 0 before."""
        return self._ms

    @property
    def timestamp(self) -> datetime:
        """Server time when it was stored (UTC)."""
        return moment(self._ms)

    @property
    def content(self) -> Any:
        """The payload's `content`."""
        return self.payload.get("content")

    @property
    def text(self) -> str:
        """The content as text: the text itself, its `text`, the text of its blocks, or its JSON."""
        return text_of(self.content)

    @property
    def name(self) -> str | None:
        """The payload's `name`."""
        return self.payload.get("name")

    @property
    def tool_call_id(self) -> str | None:
        """The id of the call that a tool message answers."""
        return self.payload.get("tool_call_id")

    @property
    def metadata(self) -> dict[str, Any]:
        """The payload's `metadata`, or an empty dict."""
        found = self.payload.get("metadata")
        return found if isinstance(found, dict) else {}

    def __eq__(self, other: object) -> bool:
        """Compare payload and ID."""
        return isinstance(other, Message) and (self.payload, self.id) == (other.payload, other.id)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Message(seq={self.seq}, role={self.role!r}, content={self.text[:60]!r})"


def kind_of(payload: Any, role: str | None = None) -> str:
    """Return the kind letter of a payload: by its role, else by its type, else by the given role. Raises InvalidInput."""
    if not isinstance(payload, dict):
        raise InvalidInput(name="message", detail=f"must be a JSON object (dict), got a {type(payload).__name__}")
    own = payload.get("role")
    if own == "user" and isinstance(payload.get("content"), list) and _carries_tool_results(payload["content"]):
        return "t"  # some providers have tool results as blocks of a user message
    if isinstance(own, str) and own in KIND_OF_ROLE:
        return KIND_OF_ROLE[own]
    for word, table in ((own, _OF_ROLE), (payload.get("type"), _OF_TYPE), (role, _OF_ROLE)):
        if isinstance(word, str) and word in table:
            return table[word]
    raise InvalidInput(
        name="message",
        detail=f"role must be one of system, user, assistant, tool, got {own if own is not None else role!r};"
        " for a payload without a role use Message(role='user', payload={…})",
    )


def _carries_tool_results(content: list[Any]) -> bool:
    return any(isinstance(part, dict) and part.get("type") == "tool_result" for part in content)


def text_of(content: Any) -> str:
    """Return content as text: a string itself, the text of blocks, else JSON. '' for None."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        return str(content["text"])
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        return "\n".join(part["text"] for part in content)
    return json.dumps(content, ensure_ascii=False)


def stored_message(
    payload: dict[str, Any], kind: str, seq: int, ms: int, incarnation: str, batch_id: str, pinned: bool, tokens: int
) -> Message:
    """Return a message as the store has it."""
    message = Message.__new__(Message)
    message.payload = payload
    message.kind = kind
    message.pinned = pinned
    message.tokens = tokens
    message.seq = seq
    message.batch_id = batch_id
    message._ms = ms
    message._incarnation = incarnation
    return message
