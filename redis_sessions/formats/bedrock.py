"""Messages of Amazon Bedrock's Converse API: blocks that are unions, such as {"toolUse": {…}}, without a `type`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..models.formats import Facts, MessageFormat, Payload
from ._parts import Keeps, Use, dicts_in, facts_of, kept_parts, parts_in, stays, texts_of

_BLOCK_KEYS = frozenset(
    (
        "text",
        "toolUse",
        "toolResult",
        "reasoningContent",
        "image",
        "document",
        "video",
        "audio",
        "cachePoint",
        "guardContent",
        "citationsContent",
        "searchResult",
    )
)
_WITHOUT_CONTENT = ("reasoningContent", "cachePoint")


class BedrockFormat(MessageFormat):
    """Messages of the roles user and assistant, whose results stand in user messages."""

    name = "bedrock"
    starts_with_user = True
    has_system_messages = False

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts of a message."""
        role = _role(payload)
        if role is None:
            return None
        blocks = dicts_in(payload["content"])
        if role == "assistant" and any(map(_is_reasoning, blocks)) and not any(map(_has_content, blocks)):
            return Facts("reasoning", binds_next=True)
        found = facts_of("assistant_message" if role == "assistant" else "user_message", _uses(blocks))
        if role == "user" and found.closes and not any(_is_of_user(block) for block in blocks):
            return found._replace(kind="tool_message")
        return found

    def text(self, payload: Payload) -> str:
        """Return the text blocks, those with citations included."""
        return texts_of(text for block in dicts_in(payload.get("content")) for text in _texts(block))

    def user_message(self, text: str) -> Payload:
        """Return a user message with one text block."""
        return {"role": "user", "content": [{"text": text}]}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a user message with one toolResult block."""
        result = {"toolUseId": call_id, "content": [{"text": text}]}
        return {"role": "user", "content": [{"toolResult": result}]}

    def keep(self, payload: Payload, keeps_call: Keeps, keeps_result: Keeps) -> Payload | None:
        """Return the message without some calls and results. None if only reasoning is left."""
        blocks = parts_in(payload.get("content"))
        kept = [stays(use, keeps_call, keeps_result) for use in _uses(blocks)]
        if all(kept):
            return payload
        left = kept_parts(blocks, kept, _is_reasoning)
        return {**payload, "content": left} if any(_has_content(block) for block in left) else None

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Merge neighbours of one role, results first, because Converse accepts alternating roles only."""
        joined: list[Payload] = []
        for role, run in groupby(payloads, key=_role):
            messages = list(run)
            if role is None or len(messages) == 1:
                joined.extend(messages)
            else:
                joined.append({**messages[0], "content": _results_first(messages)})
        return joined


def _role(payload: Payload) -> str | None:
    """Return user or assistant. None if the payload is not a Converse message."""
    role, content = payload.get("role"), payload.get("content")
    if role not in ("user", "assistant") or not isinstance(content, list):
        return None
    blocks = [block for block in content if isinstance(block, dict)]
    if any("type" in block for block in blocks):
        return None
    return str(role) if any(not _BLOCK_KEYS.isdisjoint(block) for block in blocks) else None


def _uses(blocks: Sequence[Any]) -> list[Use]:
    """Return the call and the result of each block. A call whose result is in the same message needs no other."""
    calls = [_id_in(block, "toolUse") for block in blocks]
    results = [_id_in(block, "toolResult") for block in blocks]
    complete = set(calls) & set(results)
    return [
        Use("" if call in complete or _is_of_server(block) else call, "" if result in complete else result)
        for block, call, result in zip(blocks, calls, results, strict=True)
    ]


def _is_of_server(block: Any) -> bool:
    use = block.get("toolUse") if isinstance(block, dict) else None
    return isinstance(use, dict) and use.get("type") == "server_tool_use"


def _id_in(block: Any, key: str) -> str:
    field = block.get(key) if isinstance(block, dict) else None
    given = field.get("toolUseId") if isinstance(field, dict) else None
    return "" if given is None else str(given)


def _texts(block: Payload) -> list[Payload]:
    """Return the dicts of a block that hold its text."""
    cited = block.get("citationsContent")
    return [block, *dicts_in(cited.get("content"))] if isinstance(cited, dict) else [block]


def _is_reasoning(block: Any) -> bool:
    return isinstance(block, dict) and block.get("reasoningContent") is not None


def _has_content(block: Any) -> bool:
    """Return True for a block that may be the only one of a message: not reasoning, a cache point, or a blank text."""
    if not isinstance(block, dict):
        return False
    text = block.get("text")
    if isinstance(text, str):
        return bool(text.strip())
    return any(block.get(key) is not None for key in _BLOCK_KEYS if key not in _WITHOUT_CONTENT)


def _is_of_user(block: Payload) -> bool:
    return _has_content(block) and block.get("toolResult") is None


def _results_first(messages: Sequence[Payload]) -> list[Any]:
    """Return the blocks of messages with the results before the rest."""
    blocks = [block for message in messages for block in message["content"]]
    return sorted(blocks, key=lambda block: not _id_in(block, "toolResult"))
