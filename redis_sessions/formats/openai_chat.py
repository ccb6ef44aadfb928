"""Messages of the OpenAI chat completions API, and of the many servers that copy it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..models.formats import Facts, MessageFormat, Payload
from ._blocks import distinct, id_of, numbered, text_of_blocks, type_of
from .plain import FACTS_OF_ROLE

_ASSISTANT_KEYS = frozenset(("tool_calls", "function_call", "refusal"))
_MEDIA = frozenset({"image_url", "input_audio", "file", "video_url", "audio_url"})
_TEXT = ("text", "refusal")


class OpenAIChatFormat(MessageFormat):
    """Chat completions: `tool_calls` of the assistant, each answered by a tool message directly behind.

    The deprecated `function_call` and calls without an ID go by the name of the function.
    """

    name = "openai_chat"

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts if the payload has tool calls, a tool's result, or content parts of this API."""
        role = payload.get("role")
        if role == "assistant" and not _ASSISTANT_KEYS.isdisjoint(payload):
            return Facts("assistant_message", _opens(payload))
        if role in ("ai", "model") and isinstance(payload.get("tool_calls"), list):
            return Facts("assistant_message", _opens(payload))
        if role == "tool" and type(id := payload.get("tool_call_id")) is str and id:
            return Facts("tool_message", (), (id,))
        if role in ("tool", "function") and (id := _answered(payload)):
            return Facts("tool_message", (), (id,))
        content = payload.get("content")
        if isinstance(content, list) and isinstance(role, str) and any(map(_is_mark, content)):
            return FACTS_OF_ROLE.get(role)
        return None

    def text(self, payload: Payload) -> str:
        """Return the text or the refusal. '' for the result of a tool."""
        if payload.get("role") in ("tool", "function"):
            return ""
        refusal = payload.get("refusal")
        return text_of_blocks(payload.get("content"), _TEXT) or (refusal if isinstance(refusal, str) else "")

    def user_message(self, text: str) -> Payload:
        """Return a user message with a text."""
        return {"role": "user", "content": text}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a tool message with the result of one call."""
        return {"role": "tool", "tool_call_id": call_id, "content": text}

    def keep(
        self, payload: Payload, keeps_call: Callable[[str], bool], keeps_result: Callable[[str], bool]
    ) -> Payload | None:
        """Return the payload without some `tool_calls`. None for a result that is not kept, or an empty message."""
        facts = self.facts(payload) or Facts("")
        if not all(map(keeps_result, facts.closes)):
            return None
        dropped = {id for id in facts.opens if not keeps_call(id)}
        if not dropped:
            return payload
        left = dict(payload)
        calls = [call for call, id in _calls(payload) if id not in dropped]
        if calls:
            left["tool_calls"] = calls
        else:
            left.pop("tool_calls", None)
        if _function_called(payload) in dropped:
            del left["function_call"]
        return left if calls or _function_called(left) or self._says_something(left) else None

    def _says_something(self, payload: Payload) -> bool:
        content = payload.get("content")
        has_media = isinstance(content, list) and any(type_of(part) in _MEDIA for part in content)
        return bool(self.text(payload)) or has_media or isinstance(payload.get("audio"), dict)


def _is_mark(part: Any) -> bool:
    kind = type_of(part)
    return (kind in _MEDIA or kind == "refusal") and kind in part


def _answered(payload: Payload) -> str:
    """Return the ID of the call that a tool message answers. Ollama's messages name the tool instead."""
    other = "name" if payload["role"] == "function" else "tool_name"
    return id_of(payload.get("tool_call_id")) or id_of(payload.get(other))


def _opens(payload: Payload) -> tuple[str, ...]:
    calls = payload.get("tool_calls")
    if type(calls) is list and len(calls) == 1 and type(calls[0]) is dict and "function_call" not in payload:
        only = calls[0].get("id")  # the usual message, which many appends write
        if type(only) is str and only:
            return (only,)
    return distinct([*(id for _, id in _calls(payload)), _function_called(payload)])


def _calls(payload: Payload) -> list[tuple[Any, str]]:
    """Return the entries of `tool_calls` with their IDs. The ID is '' if an entry has neither ID nor name."""
    entries = payload.get("tool_calls")
    if not isinstance(entries, list):
        return []
    found: list[tuple[Any, str]] = []
    seen: dict[str, int] = {}
    for entry in entries:
        own = id_of(entry.get("id")) if isinstance(entry, dict) else ""
        if not own and (name := _name_of(entry)):
            seen[name] = seen.get(name, 0) + 1
            own = numbered(name, seen[name])
        found.append((entry, own))
    return found


def _name_of(call: Any) -> str:
    if not isinstance(call, dict):
        return ""
    for holder in (call.get("function"), call.get("custom"), call):
        if isinstance(holder, dict) and holder.get("name"):
            return id_of(holder["name"])
    return ""


def _function_called(payload: Payload) -> str:
    call = payload.get("function_call")
    return id_of(call.get("name")) if isinstance(call, dict) else ""
