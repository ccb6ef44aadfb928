"""A message: one entry of a session. Its payload is the caller's JSON object, kept as it was given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from .._arguments import mapping
from .._durations import moment
from ..errors import InvalidInput
from .formats import Facts, format_of, recognise
from .wire_forms import wire_form

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
    "r": ("assistant", "reasoning"),
    "x": ("system", "unknown"),
}
KIND_OF_ROLE = {"system": "s", "user": "u", "assistant": "a", "tool": "t"}
KIND_OF_TYPE = {type: kind for kind, (_, type) in KINDS.items()}
TOOL_KINDS = "tc"


class Message:
    """One message.

    A caller makes it from a role and content, or from any JSON object with `payload=`. A stored message has `seq`, `id` and
    `timestamp`, and `batch_id` names the append that wrote it. The payload comes back equal, key order included.
    """

    __slots__ = (
        "_incarnation",
        "_ms",
        "batch_id",
        "continues_group",
        "facts",
        "kind",
        "payload",
        "pinned",
        "seq",
        "tokens",
    )

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
            role: system, user, assistant or tool, or an entry type such as tool_call. Required without a payload.
            content: text, or any JSON value.
            name: the payload's `name`.
            tool_call_id: the ID of the call that a tool message answers.
            metadata: the payload's `metadata`.
            payload: a JSON object, or an SDK's object, that is the whole payload. With a `role` the role wins.
            pinned: keep the message whatever the cap drops.
            tokens: its tokens, instead of the token counter's estimate.

        Raises:
            InvalidInput: the role is not known, role and payload are missing, or the payload is not a JSON object.
        """
        given: Any = payload
        if payload is None:
            if role is None:
                raise InvalidInput(name="message", detail="must have a role or a payload, got neither")
            given = {"role": role, "content": content}
            optional = {
                "name": name,
                "tool_call_id": tool_call_id,
                "metadata": dict(mapping(metadata, "metadata")) if metadata else None,
            }
            given.update({key: value for key, value in optional.items() if value is not None})
        elif not isinstance(payload, dict):
            given = wire_form(payload, "message")
        self.payload: dict[str, Any] = given
        self.kind = _explicit_kind(role) if role is not None else kind_of(self.payload)
        self.pinned = pinned
        self.tokens = tokens
        self.seq = 0
        self.batch_id = ""
        self.facts = ""
        self.continues_group = False
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
        """Return an assistant message with the session, seed, phase and evaluation that it came from. Leave out None."""
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
    def is_late(self) -> bool:
        """True if the message holds a result of a call that was not open: abandoned, dropped, or never made."""
        return "?" in self.facts

    @property
    def has_results(self) -> bool:
        """True if the message holds results of tool calls."""
        return "-" in self.facts or "?" in self.facts

    @property
    def has_abandoned_call(self) -> bool:
        """True if the message makes a call that was abandoned without a result."""
        return "!" in self.facts

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
        """The text that a person reads, by the message's format. Of a message without such text: its content as text."""
        return format_of(self.payload).text(self.payload) or text_of(self.content)

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

    def with_payload(self, payload: dict[str, Any]) -> Message:
        """Return the message with another payload. The message itself if the payload is the same object."""
        if payload is self.payload:
            return self
        changed = copy(self)
        changed.payload = payload
        return changed

    def __eq__(self, other: object) -> bool:
        """Compare payload and ID."""
        return isinstance(other, Message) and (self.payload, self.id) == (other.payload, other.id)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Message(seq={self.seq}, role={self.role!r}, content={self.text[:60]!r})"


def _explicit_kind(role: str) -> str:
    kind = KIND_OF_ROLE.get(role) or KIND_OF_TYPE.get(role)
    if kind is None:
        raise InvalidInput(name="message", detail=f"role must be one of system, user, assistant, tool, got {role!r}")
    return kind


def kind_of(payload: Any) -> str:
    """Return the kind letter of a payload, by its format. 'x' if no format knows the payload. Raises InvalidInput."""
    if not isinstance(payload, dict):
        raise InvalidInput(name="message", detail=f"must be a JSON object (dict), got a {type(payload).__name__}")
    return kind_of_facts(recognise(payload)[1])


def kind_of_facts(facts: Facts | None) -> str:
    """Return the kind letter of facts. 'x' without facts, or for a kind that is not known."""
    return "x" if facts is None else KIND_OF_TYPE.get(facts.kind, "x")


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
    payload: dict[str, Any],
    kind: str,
    seq: int,
    ms: int,
    incarnation: str,
    batch_id: str,
    pinned: bool,
    tokens: int,
    facts: str = "",
    continues_group: bool = False,
) -> Message:
    """Return a message as the store has it."""
    message = Message.__new__(Message)
    message.payload = payload
    message.kind = kind
    message.pinned = pinned
    message.tokens = tokens
    message.seq = seq
    message.batch_id = batch_id
    message.facts = facts
    message.continues_group = continues_group
    message._ms = ms
    message._incarnation = incarnation
    return message
