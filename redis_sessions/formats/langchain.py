"""Messages of LangChain in its three forms of JSON: `messages_to_dict`, `model_dump` and `dumpd`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..models.formats import Facts, MessageFormat, Payload
from ._parts import Keeps, dicts_in, ids_of, kept_parts, parts_in

_KINDS = {
    "human": "user_message",
    "ai": "assistant_message",
    "system": "system_message",
    "tool": "tool_message",
    "function": "tool_message",
    "remove": "system_event",
}
_KIND_OF_ROLE = {
    "user": "user_message",
    "human": "user_message",
    "assistant": "assistant_message",
    "ai": "assistant_message",
    "model": "assistant_message",
    "system": "system_message",
    "developer": "system_message",
    "tool": "tool_message",
    "function": "tool_message",
}
_FIELDS = frozenset(("content", "type", "name", "id", "additional_kwargs", "response_metadata", "example"))
_CALL_LISTS = ("tool_calls", "invalid_tool_calls", "tool_call_chunks")
_ID_OF_BLOCK = {
    "tool_use": "id",
    "tool_call": "id",
    "invalid_tool_call": "id",
    "function_call": "call_id",
    "custom_tool_call": "call_id",
    "tool_result": "tool_use_id",
}
_REASONING = ("thinking", "redacted_thinking", "reasoning", "reasoning_content")


class LangChainFormat(MessageFormat):
    """Messages of the types human, ai, system, tool, function and chat, and their chunks."""

    name = "langchain"

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts of a message. An invalid tool call needs an answer, because LangChain sends it to the model."""
        found = _unpacked(payload)
        if found is None:
            return None
        type, _, fields = found
        if type == "chat":
            return Facts(_KIND_OF_ROLE.get(str(fields.get("role")), "user_message"))
        if type == "human":
            return _facts_of_human(fields)
        if type == "ai":
            opens = _calls_in(fields)
            return (
                Facts("reasoning", binds_next=True) if _is_only_reasoning(fields, opens) else Facts(_KINDS[type], opens)
            )
        return Facts(_KINDS[type], closes=_answered(type, fields))

    def text(self, payload: Payload) -> str:
        """Return the text of the content."""
        found = _unpacked(payload)
        content = found[2].get("content") if found else None
        blocks = [content] if isinstance(content, str) else parts_in(content)
        return "\n".join(text for text in map(_text_of, blocks) if text)

    def user_message(self, text: str) -> Payload:
        """Return a human message in the form of `messages_to_dict`."""
        return _message("human", text)

    def system_message(self, text: str) -> Payload:
        """Return a system message in the form of `messages_to_dict`."""
        return _message("system", text)

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a tool message in the form of `messages_to_dict`."""
        return _message("tool", text, name=tool_name, tool_call_id=call_id, status="success")

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload:
        """Return a tool message with a synthetic result, in the form of the payload. It names the tool of its call."""
        found = _unpacked(payload)
        if found is None:
            return self.call_result(call_id, "", text)
        _, key, fields = found
        return _in_form(self.call_result(call_id, _tool_of(fields, call_id), text), key)

    def keep(self, payload: Payload, keeps_call: Keeps, keeps_result: Keeps) -> Payload | None:
        """Return the message without some calls and results, wherever LangChain repeats them."""
        facts, found = self.facts(payload), _unpacked(payload)
        if facts is None or found is None:
            return payload
        gone = {one for one in facts.opens if not keeps_call(one)} | {
            one for one in facts.closes if not keeps_result(one)
        }
        if not gone:
            return payload
        type, key, fields = found
        if type not in ("ai", "human"):
            return None
        left = _without(fields, gone)
        if not _has_content(left):
            return None
        return {**payload, key: left} if key else left

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads in one form. The library writes its own messages in the form of `messages_to_dict`."""
        keys = [found[1] if (found := _unpacked(payload)) else "data" for payload in payloads]
        other = next((key for key in reversed(keys) if key != "data"), "data")
        return [
            _in_form(payload, other) if key == "data" else payload for payload, key in zip(payloads, keys, strict=True)
        ]


def _in_form(payload: Payload, key: str) -> Payload:
    """Return a message of `messages_to_dict` in the form whose fields have a key. The payload itself for any other."""
    found = _unpacked(payload)
    if found is None or key == "data":
        return payload
    type, _, data = found
    fields = {**data, "type": type}
    if not key:
        return fields
    path = ["langchain", "schema", "messages", f"{type[:1].upper()}{type[1:]}Message".replace("Ai", "AI")]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": fields}


def _unpacked(payload: Payload) -> tuple[str, str, Payload] | None:
    """Return the type of a message, the key of its fields, and the fields. None if it is not a message of LangChain.

    The key is '' if the payload itself is the fields.
    """
    words, kwargs = payload.get("id"), payload.get("kwargs")
    if "lc" in payload and isinstance(kwargs, dict) and isinstance(words, list) and words:
        type = _type_named(words[-1])
        return (type, "kwargs", kwargs) if type and str(words[-1]).endswith(("Message", "MessageChunk")) else None
    type, data = _type_named(payload.get("type")), payload.get("data")
    if not type:
        return None
    if isinstance(data, dict) and "content" in data:
        return type, "data", data
    return (type, "", payload) if _is_dump(type, payload) else None


def _type_named(word: Any) -> str:
    """Return the type of a class such as AIMessageChunk, or a type as it is. '' for any other value."""
    if not isinstance(word, str):
        return ""
    type = word.removesuffix("Chunk").removesuffix("Message").lower()
    return type if type in _KINDS or type == "chat" else ""


def _is_dump(type: str, payload: Payload) -> bool:
    """Return True for the fields of a message, as opposed to items of other libraries with the same `type`."""
    if not isinstance(payload.get("content"), str | list):
        return False
    if type == "chat":
        return "role" in payload and "additional_kwargs" in payload
    if "role" in payload:
        return False
    if type == "tool":
        return "tool_call_id" in payload
    return type in ("human", "ai") or payload.keys() <= _FIELDS


def _calls_in(fields: Payload) -> tuple[str, ...]:
    """Return the IDs of all calls of an ai message."""
    extra = _extra(fields)
    ids = [one for key in _CALL_LISTS[:2] for one in _ids(fields.get(key))]
    ids += [_block_id(block) for block in parts_in(fields.get("content"))]
    ids += [str(call["id"]) for call in dicts_in(extra.get("tool_calls")) if call.get("id") is not None]
    legacy = _legacy_call(extra)
    return tuple(dict.fromkeys(one for one in ids if one)) or ((legacy,) if legacy else ())


def _tool_of(fields: Payload, call_id: str) -> str:
    """Return the name of the tool of one call of an ai message. '' if the message does not say it."""
    named = [
        (id, call.get("name"))
        for key in _CALL_LISTS[:2]
        for id, call in zip(_ids(fields.get(key)), parts_in(fields.get(key)), strict=True)
        if isinstance(call, dict)
    ]
    named += [(_block_id(block), block.get("name")) for block in dicts_in(fields.get("content"))]
    raw = dicts_in(_extra(fields).get("tool_calls"))
    named += [(str(call.get("id")), call["function"].get("name")) for call in raw if type(call.get("function")) is dict]
    names = [name for id, name in named if id == call_id and isinstance(name, str)]
    return names[0] if names else _legacy_call(_extra(fields))


def _answered(type: str, fields: Payload) -> tuple[str, ...]:
    """Return the ID of the call that a tool or function message answers."""
    if type not in ("tool", "function"):
        return ()
    found = ids_of([(fields.get("tool_call_id"), fields.get("name"))])
    return tuple(one for one in found if one)


def _facts_of_human(fields: Payload) -> Facts:
    """Return the facts of a human message, which may hold the results of Anthropic's calls."""
    blocks = parts_in(fields.get("content"))
    results = tuple(dict.fromkeys(one for one in map(_block_id, filter(_is_result, blocks)) if one))
    is_only_results = bool(results) and all(_is_result(block) or not _is_content(block) for block in blocks)
    return Facts("tool_message" if is_only_results else "user_message", closes=results)


def _is_result(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _ids(calls: Any) -> list[str]:
    return ids_of(
        (call.get("id"), call.get("name")) if isinstance(call, dict) else (None, None) for call in parts_in(calls)
    )


def _block_id(block: Any) -> str:
    """Return the ID of a block that is a call or a result. '' for any other block."""
    type = block.get("type") if isinstance(block, dict) else None
    key = _ID_OF_BLOCK.get(type) if isinstance(type, str) else None
    return str(block[key]) if key and block.get(key) is not None else ""


def _extra(fields: Payload) -> Payload:
    found = fields.get("additional_kwargs")
    return found if isinstance(found, dict) else {}


def _legacy_call(extra: Payload) -> str:
    call = extra.get("function_call")
    name = call.get("name") if isinstance(call, dict) else None
    return name if isinstance(name, str) else ""


def _without(fields: Payload, gone: set[str]) -> Payload:
    """Return the fields without the calls and results of some IDs."""
    left = dict(fields)
    names: set[str] = set()
    for key in _CALL_LISTS:
        calls = parts_in(fields.get(key))
        kept = [one not in gone for one in _ids(calls)]
        if not all(kept):
            left[key] = [call for call, keep in zip(calls, kept, strict=True) if keep]
            names |= {str(call.get("name")) for call, keep in zip(calls, kept, strict=True) if not keep}
    content = fields.get("content")
    if isinstance(content, list):
        kept = [_block_id(block) not in gone for block in content]
        left["content"] = content if all(kept) else kept_parts(content, kept, _is_reasoning)
    if "additional_kwargs" in fields:
        left["additional_kwargs"] = _extra_without(_extra(fields), gone, names)
    return left


def _extra_without(extra: Payload, gone: set[str], names: set[str]) -> Payload:
    """Return the additional fields, where models of OpenAI and Google repeat a call, without the removed calls."""
    left = dict(extra)
    if isinstance(extra.get("tool_calls"), list):
        calls = [call for call in extra["tool_calls"] if not (isinstance(call, dict) and str(call.get("id")) in gone)]
        left["tool_calls"] = calls
        if not calls:
            del left["tool_calls"]
    legacy = _legacy_call(extra)
    if legacy and (legacy in gone or legacy in names):
        del left["function_call"]
    return left


def _is_reasoning(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in _REASONING


def _has_content(fields: Payload) -> bool:
    """Return True if a message has a call, a text, or a block other than reasoning."""
    content = fields.get("content")
    if any(fields.get(key) for key in _CALL_LISTS):
        return True
    return bool(content) if isinstance(content, str) else any(map(_is_content, parts_in(content)))


def _is_content(block: Any) -> bool:
    return not _is_reasoning(block) and (not _is_text(block) or bool(_text_of(block)))


def _is_only_reasoning(fields: Payload, calls: tuple[str, ...]) -> bool:
    blocks = parts_in(fields.get("content"))
    return not calls and any(map(_is_reasoning, blocks)) and not any(map(_is_content, blocks))


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or (isinstance(block, dict) and block.get("type") == "text")


def _text_of(block: Any) -> str:
    text = block.get("text") if isinstance(block, dict) and _is_text(block) else block
    return text if isinstance(text, str) else ""


def _message(type: str, text: str, **fields: Any) -> Payload:
    data = {"content": text, "additional_kwargs": {}, "response_metadata": {}, "type": type, **fields}
    return {"type": type, "data": data}
