"""Messages of Vercel's AI SDK: model messages with content parts, and the UI messages that `useChat` stores."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from itertools import groupby
from typing import Any

from ..models.formats import Facts, MessageFormat, Payload
from ._parts import Keeps, Use, dicts_in, facts_of, kept_parts, parts_in, stays, texts_of

_MODEL_KINDS = {
    "system": "system_message",
    "user": "user_message",
    "assistant": "assistant_message",
    "tool": "tool_message",
}
_UI_KINDS = {role: kind for role, kind in _MODEL_KINDS.items() if role != "tool"}
_MODEL_MARKS = ("tool-call", "tool-result", "tool-approval-request", "tool-approval-response", "reasoning-file")
_UI_TYPES = frozenset(
    (
        "text",
        "reasoning",
        "reasoning-file",
        "file",
        "source-url",
        "source-document",
        "source",
        "step-start",
        "dynamic-tool",
        "tool-invocation",
        "custom",
    )
)
_COMPLETE = ("output-available", "output-error", "output-denied", "approval-responded", "result")
"""The states of a tool part that needs nothing more: it has its result, or the user has answered the request for approval."""
_RESPONDED = "approval-responded"
_REASONING = ("reasoning", "reasoning-file", "step-start")


class AISDKFormat(MessageFormat):
    """Model messages, whose results stand in messages of the role tool."""

    name = "ai_sdk"

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts of a message with parts that only the AI SDK has."""
        role, content = payload.get("role"), payload.get("content")
        if not isinstance(role, str) or role not in _MODEL_KINDS or not isinstance(content, list):
            return None
        if not any(_is_of_model_message(part) for part in content):
            return None
        if role == "assistant" and _is_only_reasoning(content):
            return Facts("reasoning", binds_next=True)
        return facts_of(_MODEL_KINDS[role], _uses(payload))

    def text(self, payload: Payload) -> str:
        """Return the text parts."""
        content = payload.get("content")
        return content if isinstance(content, str) else _text_of(content)

    def user_message(self, text: str) -> Payload:
        """Return a user message."""
        return {"role": "user", "content": text}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a tool message with one result."""
        output = {"type": "text", "value": text}
        part = {"type": "tool-result", "toolCallId": call_id, "toolName": tool_name, "output": output}
        return {"role": "tool", "content": [part]}

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload:
        """Return a tool message with a synthetic result that names the tool of its call."""
        calls = zip(parts_in(payload.get("content")), _uses(payload), strict=True)
        names = [_tool_of(part) for part, use in calls if use.call == call_id]
        return self.call_result(call_id, names[0] if names else "", text)

    def is_going_on(self, payload: Payload, call_id: str, behind: Sequence[Payload]) -> bool:
        """Return True for a call whose request for approval has a response: the SDK runs or denies the call."""
        responses = {one for message in behind for one in _approvals(message, "tool-approval-response")}
        return any(
            id == call_id and one in responses for one, id in _approvals(payload, "tool-approval-request").items()
        )

    def keep(self, payload: Payload, keeps_call: Keeps, keeps_result: Keeps) -> Payload | None:
        """Return the message without some calls and results. A request for approval leaves with its call."""
        uses = _uses(payload)
        kept = [stays(use, keeps_call, keeps_result) for use in uses]
        gone = {use.call for use, keep in zip(uses, kept, strict=True) if not keep}
        parts = parts_in(payload.get("content"))
        kept = [keep and not _asks_approval(part, gone) for part, keep in zip(parts, kept, strict=True)]
        return _kept(payload, "content", kept)

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Merge neighbouring tool messages. A response to a request for approval that left leaves, too."""
        joined: list[Payload] = []
        requests = {one for payload in payloads for one in _approvals(payload, "tool-approval-request")}
        left = [kept for payload in payloads if (kept := _with_requests(payload, requests)) is not None]
        for is_tool, run in groupby(left, key=self._is_tool_message):
            messages = list(run)
            if is_tool and len(messages) > 1:
                parts = [part for message in messages for part in message["content"]]
                joined.append({**messages[0], "content": parts})
            else:
                joined.extend(messages)
        return joined

    def _is_tool_message(self, payload: Payload) -> bool:
        return payload.get("role") == "tool" and self.facts(payload) is not None


class AISDKUIFormat(MessageFormat):
    """UI messages, in which one tool part holds a call and later its result.

    A part without a result opens its call. No later message closes this call, so a window leaves the part out.
    """

    name = "ai_sdk_ui"

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts of a message with `parts`."""
        role, parts = payload.get("role"), payload.get("parts")
        if not isinstance(role, str) or role not in _UI_KINDS or not isinstance(parts, list):
            return None
        if not any(_is_ui_part(part) for part in parts) and (parts or "id" not in payload):
            return None
        if role == "assistant" and _is_only_reasoning(parts):
            return Facts("reasoning")
        return facts_of(_UI_KINDS[role], [Use(_open_call(part)) for part in parts])

    def text(self, payload: Payload) -> str:
        """Return the text parts."""
        return _text_of(payload.get("parts"))

    def user_message(self, text: str) -> Payload:
        """Return a user message. Its ID is a hash of the text."""
        return _ui_message("user", text, {"type": "text", "text": text})

    def system_message(self, text: str) -> Payload:
        """Return a system message. Its ID is a hash of the text."""
        return _ui_message("system", text, {"type": "text", "text": text})

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return an assistant message with one tool part, which holds the call and its result."""
        part = {"type": "dynamic-tool", "toolName": tool_name, "toolCallId": call_id, "state": "output-available"}
        return _ui_message("assistant", call_id + text, {**part, "input": {}, "output": text})

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload:
        """Return an assistant message with a synthetic result that names the tool of its call."""
        names = [_tool_of(part) for part in parts_in(payload.get("parts")) if _open_call(part) == call_id]
        return self.call_result(call_id, names[0] if names else "", text)

    def keep(self, payload: Payload, keeps_call: Keeps, keeps_result: Keeps) -> Payload | None:
        """Return the message without some of the tool parts that have no result."""
        calls = [_open_call(part) for part in parts_in(payload.get("parts"))]
        return _kept(payload, "parts", [not call or keeps_call(call) for call in calls])

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Leave out calls that were approved or denied and have no result. The SDK goes on with the last message only."""
        left = [self._without_responded(payload) for payload in payloads[:-1]]
        return [payload for payload in left if payload is not None] + [*payloads[-1:]]

    def _without_responded(self, payload: Payload) -> Payload | None:
        if self.facts(payload) is None:
            return payload
        responded = [isinstance(part, dict) and _called(part).get("state") == _RESPONDED for part in payload["parts"]]
        return _kept(payload, "parts", [not one for one in responded]) if any(responded) else payload


def _type_of(part: Any) -> str:
    found = part.get("type") if isinstance(part, dict) else None
    return found if isinstance(found, str) else ""


def _text_of(parts: Any) -> str:
    return texts_of(part for part in dicts_in(parts) if _type_of(part) == "text")


def _id_of(part: Any) -> str:
    found = part.get("toolCallId") if isinstance(part, dict) else None
    return "" if found is None else str(found)


def _tool_of(part: Payload) -> str:
    """Return the name of a call's tool. The type of a UI part may hold it."""
    name = _called(part).get("toolName")
    return _type_of(part).removeprefix("tool-") if name is None else str(name)


def _called(part: Payload) -> Payload:
    call = part.get("toolInvocation")
    return call if isinstance(call, dict) else part


def _is_of_model_message(part: Any) -> bool:
    """Return True for a part that no other vendor has."""
    type = _type_of(part)
    if type == "file":
        return "mediaType" in part or "mimeType" in part
    if type == "reasoning":
        return isinstance(part.get("text"), str)
    return type in _MODEL_MARKS or (type == "image" and "image" in part)


def _uses(payload: Payload) -> list[Use]:
    """Return the call and the result of each part of a model message.

    A call that the provider ran is complete, and so is a result in an assistant message.
    """
    parts = parts_in(payload.get("content"))
    by_provider = {_id_of(part) for part in parts if _type_of(part) == "tool-result"}
    is_assistant = payload.get("role") == "assistant"
    return [_use(part, is_assistant, by_provider) for part in parts]


def _use(part: Any, is_assistant: bool, by_provider: set[str]) -> Use:
    type, id = _type_of(part), _id_of(part)
    if type == "tool-call" and id not in by_provider and not part.get("providerExecuted"):
        return Use(call=id)
    return Use(result=id) if type == "tool-result" and not is_assistant else Use()


def _asks_approval(part: Any, calls: set[str]) -> bool:
    id = _id_of(part)
    return _type_of(part) == "tool-approval-request" and bool(id) and id in calls


def _approvals(payload: Payload, type: str) -> dict[str, str]:
    """Return the call ID of each part of a type, by the ID of its approval. A response names no call."""
    parts = [part for part in dicts_in(payload.get("content")) if _type_of(part) == type]
    return {str(part["approvalId"]): _id_of(part) for part in parts if part.get("approvalId") is not None}


def _with_requests(payload: Payload, requests: Container[str]) -> Payload | None:
    """Return a message without responses to requests that are not among `requests`. None if nothing else is in it."""
    gone = {one for one in _approvals(payload, "tool-approval-response") if one not in requests}
    if not gone:
        return payload
    left = [part for part in payload["content"] if not (isinstance(part, dict) and str(part.get("approvalId")) in gone)]
    return {**payload, "content": left} if left else None


def _is_ui_part(part: Any) -> bool:
    type = _type_of(part)
    return type in _UI_TYPES or type.startswith(("tool-", "data-"))


def _open_call(part: Any) -> str:
    """Return the ID of a UI part's call if the part has no result. '' for any other part."""
    type = _type_of(part)
    call = part.get("toolInvocation") if type == "tool-invocation" else part
    if not isinstance(call, dict) or not (type == "dynamic-tool" or type.startswith("tool-")):
        return ""
    state = call.get("state")
    has_result = any(call.get(key) is not None for key in ("output", "errorText", "result"))
    return "" if has_result or (isinstance(state, str) and state in _COMPLETE) else _id_of(call)


def _is_reasoning(part: Any) -> bool:
    return _type_of(part) in _REASONING


def _is_only_reasoning(parts: Sequence[Any]) -> bool:
    """Return True for reasoning without anything else that counts. Empty text does not count."""
    rest = [part for part in parts if not _is_reasoning(part)]
    return len(rest) < len(parts) and all(_type_of(part) == "text" and not part.get("text") for part in rest)


def _has_content(part: Any) -> bool:
    """Return True for a part that a model gets, other than reasoning and empty text."""
    type = _type_of(part)
    if type == "text":
        return bool(part.get("text"))
    return bool(type) and type not in _REASONING and not type.startswith(("source", "data-"))


def _kept(payload: Payload, key: str, kept: Sequence[bool]) -> Payload | None:
    """Return the payload with the kept parts of one of its lists. None if a model would get none of them."""
    if all(kept):
        return payload
    left = kept_parts(payload[key], kept, _is_reasoning)
    return {**payload, key: left} if any(map(_has_content, left)) else None


def _ui_message(role: str, text: str, part: Payload) -> Payload:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return {"id": f"msg-{digest[:16]}", "role": role, "parts": [part]}
