"""Messages of pydantic-ai, as ModelMessagesTypeAdapter writes them: requests and responses with parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, takewhile
from typing import Any

from ..models.formats import Facts, MessageFormat, Payload
from ._parts import Keeps, Use, dicts_in, facts_of, ids_of, kept_parts, parts_in, stays

_OF_SYSTEM = ("system-prompt", "instruction", "instruction-delta", "instruction-baseline", "instruction-digest")
_OF_USER = ("user-prompt", "retry-prompt", "retry-feedback")


class PydanticAIFormat(MessageFormat):
    """Requests with prompts and tool returns, and responses with text, thinking and tool calls."""

    name = "pydantic_ai"

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts of a request or a response. The results of built-in tools are in their own response."""
        side = _side(payload)
        if side is None:
            return None
        parts = dicts_in(payload["parts"])
        if side == "response" and any(map(_is_thinking, parts)) and not any(map(_has_content, parts)):
            return Facts("reasoning", binds_next=True)
        uses = _uses(parts)
        return facts_of("assistant_message" if side == "response" else _kind(payload, parts, uses), uses)

    def text(self, payload: Payload) -> str:
        """Return the text of user prompts, of text parts and of speech, else the system prompt."""
        parts = dicts_in(payload.get("parts"))
        return _text_in(parts, "user-prompt", "text", "speech") or _text_in(parts, "system-prompt")

    def user_message(self, text: str) -> Payload:
        """Return a request with one user prompt."""
        return {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": text}]}

    def system_message(self, text: str) -> Payload:
        """Return a request with one system prompt."""
        return {"kind": "request", "parts": [{"part_kind": "system-prompt", "content": text}]}

    def split_system_prompt(self, payload: Payload) -> tuple[str, Payload] | None:
        """Return the system prompts of the first request, which stand before its user prompt, and the request without them."""
        parts = parts_in(payload.get("parts")) if _side(payload) == "request" else []
        prompts = list(takewhile(lambda part: _is_of(part, "system-prompt"), parts))
        if not prompts or len(prompts) == len(parts):
            return None
        return _text_in(prompts, "system-prompt"), {**payload, "parts": parts[len(prompts) :]}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a request with one tool return."""
        part = {"part_kind": "tool-return", "tool_name": tool_name, "tool_call_id": call_id, "content": text}
        return {"kind": "request", "parts": [part]}

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload:
        """Return a request with a synthetic result that names the tool of its call."""
        parts = parts_in(payload.get("parts"))
        calls = zip(parts, _uses(parts), strict=True)
        names = [str(part.get("tool_name") or "") for part, use in calls if use.call == call_id]
        return self.call_result(call_id, names[0] if names else "", text)

    def keep(self, payload: Payload, keeps_call: Keeps, keeps_result: Keeps) -> Payload | None:
        """Return the message without some calls and results. Thinking leaves with its call."""
        parts = parts_in(payload.get("parts"))
        kept = [stays(use, keeps_call, keeps_result) for use in _uses(parts)]
        if all(kept):
            return payload
        left = kept_parts(parts, kept, _is_thinking)
        return {**payload, "parts": left} if any(_has_content(part) for part in left) else None

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Merge the requests that follow a response, if the first one has tool returns."""
        joined: list[Payload] = []
        before = None
        for side, run in groupby(payloads, key=_side):
            messages = list(run)
            if side == "request" and before == "response" and len(messages) > 1 and self._closes(messages[0]):
                joined.append(_merged(messages))
            else:
                joined.extend(messages)
            before = side
        return joined

    def _closes(self, payload: Payload) -> bool:
        facts = self.facts(payload)
        return facts is not None and bool(facts.closes)


def _side(payload: Payload) -> str | None:
    """Return request or response. None if the payload is not a message of pydantic-ai."""
    side, parts = payload.get("kind"), payload.get("parts")
    if side not in ("request", "response") or not isinstance(parts, list):
        return None
    own = [part for part in parts if isinstance(part, dict)]
    return str(side) if not parts or any(isinstance(part.get("part_kind"), str) for part in own) else None


def _kind(payload: Payload, parts: Sequence[Payload], uses: Sequence[Use]) -> str:
    """Return the kind of a request."""
    words = [part.get("part_kind") for part in parts]
    if any(use.result for use in uses):
        return "user_message" if "user-prompt" in words or "speech" in words else "tool_message"
    if any(word in _OF_USER for word in words):
        return "user_message"
    is_of_system = any(word in _OF_SYSTEM for word in words) or bool(payload.get("instructions"))
    return "system_message" if is_of_system else "user_message"


def _uses(parts: Sequence[Any]) -> list[Use]:
    """Return the call and the result of each part."""
    calls = ids_of(_named(part) if _is_of(part, "tool-call") else (None, None) for part in parts)
    results = ids_of(_named(part) if _is_result(part) else (None, None) for part in parts)
    return [Use(call, result) for call, result in zip(calls, results, strict=True)]


def _named(part: Payload) -> tuple[Any, Any]:
    return part.get("tool_call_id"), part.get("tool_name")


def _is_of(part: Any, *kinds: str) -> bool:
    return isinstance(part, dict) and part.get("part_kind") in kinds


def _is_result(part: Any) -> bool:
    """Return True for a tool return, and for a retry prompt that answers a call."""
    return _is_of(part, "tool-return") or (_is_of(part, "retry-prompt") and bool(part.get("tool_name")))


def _is_thinking(part: Any) -> bool:
    return _is_of(part, "thinking")


def _has_content(part: Any) -> bool:
    """Return True for a part that a model accepts as the only one of a message."""
    if not isinstance(part, dict) or _is_thinking(part):
        return False
    return part.get("part_kind") != "text" or bool(part.get("content"))


def _text_in(parts: Sequence[Payload], *kinds: str) -> str:
    found = (part.get("content", part.get("transcript")) for part in parts if _is_of(part, *kinds))
    return "\n".join(text for content in found for text in _texts(content))


def _texts(content: Any) -> list[str]:
    """Return the texts of a prompt, which is a str, or a list of str, text contents and media."""
    if isinstance(content, str):
        return [content]
    found = []
    for item in parts_in(content):
        text = item.get("content") if isinstance(item, dict) and item.get("kind") == "text-content" else item
        if isinstance(text, str):
            found.append(text)
    return found


def _merged(requests: Sequence[Payload]) -> Payload:
    """Return one request with the parts of several, results first, and the newest instructions."""
    parts = [part for request in requests for part in request["parts"]]
    merged = {**requests[0], "parts": sorted(parts, key=lambda part: not _is_result(part))}
    instructions = [request["instructions"] for request in requests if request.get("instructions")]
    return {**merged, "instructions": instructions[-1]} if instructions else merged
