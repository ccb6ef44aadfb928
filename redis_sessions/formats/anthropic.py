"""Messages of the Anthropic Messages API: content blocks, with tool results as blocks of a user message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..models.formats import Facts, MessageFormat, Payload
from ._blocks import distinct, id_of, text_of_blocks, type_of

_SERVER_USES = frozenset({"server_tool_use", "mcp_tool_use"})
_USES = _SERVER_USES | {"tool_use"}
_THINKING = frozenset({"thinking", "redacted_thinking"})
_MARKS = _USES | {
    "tool_result", "redacted_thinking", "search_result", "container_upload", "compaction", "fallback", "mcp_tool_listing",
}  # fmt: skip


class AnthropicFormat(MessageFormat):
    """Messages with content blocks. The results of a message's calls stand first in the very next user message.

    A call that the API itself runs usually has its result in the same message, and needs none from the caller. When the API
    paused, or waits for the results of other calls, the result comes with the next response.
    """

    name = "anthropic"
    starts_with_user = True
    has_system_messages = False

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts if the content has blocks that only this API knows."""
        content, role = payload.get("content"), payload.get("role")
        if not isinstance(content, list) or role not in ("user", "assistant") or payload.get("tool_calls"):
            return None
        types = [type_of(block) for block in content]
        if not any(map(_is_mark, types, content)) and not _is_response(payload):
            return None
        called = distinct([id_of(block.get("id")) for block in content if type_of(block) in _USES])
        answered = distinct([_answered(block) for block in content if _is_result(type_of(block))])
        if role == "user":
            return Facts("user_message" if set(types) != {"tool_result"} else "tool_message", closes=answered)
        if types and _THINKING.issuperset(types):
            return Facts("reasoning", binds_next=True)
        opens, closes = _without(called, answered), _without(answered, called)
        return Facts("assistant_message", opens, closes)

    def text(self, payload: Payload) -> str:
        """Return the text blocks, one a line."""
        return text_of_blocks(payload.get("content"))

    def user_message(self, text: str) -> Payload:
        """Return a user message with a text."""
        return {"role": "user", "content": text}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a user message with the result of one call."""
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": text}]}

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload | None:
        """Return a user message with a synthetic result. None for a call that the API itself runs."""
        return None if call_id in _of_server(payload) else self.call_result(call_id, "", text)

    def programs(self, payload: Payload) -> tuple[str, ...]:
        """Return the IDs of the code executions by which blocks were made."""
        content = payload.get("content")
        return distinct(map(_program_of, content)) if isinstance(content, list) else ()

    def is_going_on(self, payload: Payload, call_id: str, behind: Sequence[Payload]) -> bool:
        """Return True for a call that the API itself runs: it goes on with the call in the next request."""
        return call_id in _of_server(payload)

    def keep(
        self, payload: Payload, keeps_call: Callable[[str], bool], keeps_result: Callable[[str], bool]
    ) -> Payload | None:
        """Return the payload without some blocks. None if no block is left, or only thinking.

        The API refuses a message that ends with thinking or a blank text, so these blocks leave, too.
        """
        facts = self.facts(payload) or Facts("")
        calls = {id for id in (*facts.opens, *self.programs(payload)) if not keeps_call(id)}
        results = {id for id in facts.closes if not keeps_result(id)}
        if not calls and not results:
            return payload
        calls |= {id_of(block.get("id")) for block in payload["content"] if calls and _program_of(block) in calls}
        results |= calls
        left = [block for block in payload["content"] if not _is_dropped(block, calls, results)]
        while left and _is_no_ending(left[-1]):
            left.pop()
        return {**payload, "content": left} if left else None

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads with a user message of results merged with the user messages directly behind it.

        What a code execution made that is not among the payloads leaves. Of a whole response role and content stay, because
        the API refuses its other fields in a request.
        """
        found: list[Payload] = []
        run: list[Payload] = []
        for payload in self._with_programs(payloads):
            if self._continues(payload) if run else self._has_results(payload):
                run.append(payload)
                continue
            found += [*_merged(run), _as_request(payload)]
            run = []
        return [*found, *_merged(run)]

    def _with_programs(self, payloads: Sequence[Payload]) -> Iterable[Payload]:
        """Yield the payloads without blocks whose code execution is not among the payloads, and without their results."""
        missing = {id for payload in payloads for id in self.programs(payload)}
        for payload in payloads:
            missing.difference_update(_of_server(payload))
        for payload in payloads:
            kept: Payload | None = payload
            if missing and self.facts(payload) is not None:
                missing.update(id_of(block.get("id")) for block in payload["content"] if _program_of(block) in missing)
                kept = self.keep(payload, lambda id: id not in missing, lambda id: id not in missing)
            if kept is not None:
                yield kept

    def _has_results(self, payload: Payload) -> bool:
        facts = self.facts(payload) if payload.get("role") == "user" else None
        return facts is not None and any(type_of(block) == "tool_result" for block in payload["content"])

    def _continues(self, payload: Payload) -> bool:
        if payload.get("role") != "user":
            return False
        content = payload.get("content")
        if isinstance(content, list) and all(type_of(block) == "text" for block in content):
            return True
        return isinstance(content, str) or self.facts(payload) is not None


def _of_server(payload: Payload) -> set[str]:
    """Return the IDs of the calls that the API itself runs."""
    blocks = payload.get("content")
    own = [block for block in blocks if type_of(block) in _SERVER_USES] if isinstance(blocks, list) else []
    return {id_of(block.get("id")) for block in own}


def _program_of(block: Any) -> str:
    """Return the ID of the code execution by which a block was made. '' if the model made it."""
    caller = block.get("caller") if isinstance(block, dict) else None
    return id_of(caller.get("tool_id")) if isinstance(caller, dict) else ""


def _is_mark(kind: str, block: Any) -> bool:
    if kind in _MARKS:
        return True
    if kind == "thinking":  # Mistral's thinking is a list of blocks
        return isinstance(block.get("thinking"), str)
    if kind in ("image", "document"):
        return isinstance(block.get("source"), dict)
    return kind.endswith("_tool_result") or (kind == "text" and "citations" in block)


def _is_response(payload: Payload) -> bool:
    return payload.get("type") == "message" and "stop_reason" in payload


def _as_request(payload: Payload) -> Payload:
    """Return the role and the content of a whole response, and any other payload as it is."""
    if not (_is_response(payload) and payload.get("role") == "assistant" and "content" in payload):
        return payload
    return {"role": payload["role"], "content": payload["content"]}


def _is_result(kind: str) -> bool:
    return kind == "tool_result" or kind.endswith("_tool_result")


def _answered(block: Payload) -> str:
    return id_of(block.get("tool_use_id"))


def _is_dropped(block: Any, calls: set[str], results: set[str]) -> bool:
    kind = type_of(block)
    if kind in _USES:
        return id_of(block.get("id")) in calls
    return _is_result(kind) and _answered(block) in results


def _is_no_ending(block: Any) -> bool:
    return type_of(block) in _THINKING or (type_of(block) == "text" and not text_of_blocks([block]).strip())


def _without(ids: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    if not ids or not others:
        return ids
    left_out = set(others)
    return tuple(id for id in ids if id not in left_out)


def _merged(run: Sequence[Payload]) -> Iterable[Payload]:
    """Return a run of user messages as one message with all results first. Nothing for an empty run."""
    if not run:
        return []
    blocks = [block for payload in run for block in _blocks_of(payload["content"])]
    ordered = sorted(blocks, key=lambda block: type_of(block) != "tool_result")
    return [run[0]] if ordered == run[0]["content"] else [{**run[0], "content": ordered}]


def _blocks_of(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    return list(content)
