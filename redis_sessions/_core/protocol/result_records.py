"""Make the payload of a message that tells a parent of a child's end, from the record that scripts store.

The record is '\\2<child ID> <incarnation> <label> <agent> <status> <runtime> <bytes of usage> <of reason> <of result> ', then the
usage, the reason, the result as JSON, and a template with places for the text and the facts, and for an ID that the format makes
from the text. Without a template the payload is a chat message of the user.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from .json_values import from_json, to_json

MARK = b"\2"
TEXT_PLACE, FACTS_PLACE, ID_PLACE = "@text@", "@facts@", "@id@"
_USAGE = ("input", "output", "reasoning", "cache_read", "cache_write", "total", "cost_micros")


class ResultRecord(NamedTuple):
    """The end of a child, as its parent receives it."""

    session: str
    run_id: str
    label: str
    agent: str
    status: str
    runtime: str
    usage: bytes
    reason: bytes
    result: bytes
    template: bytes = b""

    @classmethod
    def parse(cls, payload: bytes) -> ResultRecord:
        """Read a record with its mark. Raises ValueError when it is damaged."""
        *words, usage, reason, result, texts = payload[len(MARK) :].split(b" ", 9)
        sizes = [int(usage), int(reason), int(result)]
        if min(sizes) < 0 or sum(sizes) > len(texts):
            raise ValueError("the record of a child's end is too short")
        ends = [sizes[0], sizes[0] + sizes[1], sum(sizes)]
        parts = [texts[first:end] for first, end in zip([0, *ends], [*ends, None], strict=True)]
        session, run_id, label, agent, status, runtime = (word.decode() for word in words)
        return cls(session, run_id, label, agent, status, runtime, *parts)

    def __bytes__(self) -> bytes:
        """Return the record as it is stored."""
        words = [*self[:6], len(self.usage), len(self.reason), len(self.result), ""]
        return MARK + " ".join(map(str, words)).encode() + b"".join(self[6:])

    def payload(self) -> dict[str, Any]:
        """Return the payload. Raises ValueError when a part of the record is damaged."""
        head = f"[{self.label or self.agent or self.session} {self.status}]"
        reason, result = self.reason.decode(), self.result.decode()
        value = from_json(self.result) if result else None
        text = value if isinstance(value, str) else result or reason
        facts: dict[str, Any] = {
            "session": self.session, "run_id": self.run_id, "label": self.label or None, "status": self.status,
            "reason": reason or None, "runtime": float(self.runtime),
        }  # fmt: skip
        if self.usage:
            facts["usage"] = dict(zip(_USAGE, map(int, self.usage.split()), strict=False))
        if result and not isinstance(value, str):
            facts["result"] = value
        text = f"{head} {text}" if result or text else head
        payload = filled(self.template, text, {"subagent": facts})
        if payload.get("id") == ID_PLACE:
            digest = sha256(f"{self.run_id} {text}".encode("utf-8", "surrogatepass")).hexdigest()
            payload["id"] = f"msg-{digest[:16]}"
        return payload


def filled(template: bytes, text: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of a template with a text and facts. Raises ValueError for a template without places for them."""
    if not template:
        return {"role": "user", "content": text, "metadata": facts}
    before, found, behind = template.decode().partition(f'"{TEXT_PLACE}"')
    between, told, after = behind.partition(f'"{FACTS_PLACE}"')
    if not (found and told):
        raise ValueError("the template of a result has no place for the text or the facts")
    payload: dict[str, Any] = from_json(before + to_json(text, "text") + between + to_json(facts, "facts") + after)
    return payload


class MemberResult(NamedTuple):
    """The reason and the result of a member that was deleted with its end: '\\2<bytes of the reason> <reason><result>'."""

    reason: bytes
    result: bytes

    @classmethod
    def parse(cls, text: bytes) -> MemberResult:
        """Read a record. Raises ValueError when it is damaged."""
        size, space, texts = text[len(MARK) :].partition(b" ")
        if text[: len(MARK)] != MARK or not space or not 0 <= int(size) <= len(texts):
            raise ValueError("the kept result of a member is damaged")
        return cls(texts[: int(size)], texts[int(size) :])

    def __bytes__(self) -> bytes:
        """Return the record as it is stored."""
        return MARK + b"%d " % len(self.reason) + self.reason + self.result

    def facts(self) -> dict[str, Any]:
        """Return reason and result as `children` shows them. Raises ValueError when they are damaged."""
        return {"reason": self.reason.decode() or None, "result": from_json(self.result) if self.result else None}
