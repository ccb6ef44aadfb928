"""The window that `context` must return for the messages of OpenAI's chat completions, worked out from a model's messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .transcript_model import Payload, Stored


class Part(NamedTuple):
    """Messages that a window contains together."""

    begins_at: int
    newest: int
    tokens: int
    payloads: list[Payload]


def parts(retained: Sequence[Stored]) -> list[Part]:
    """Return the parts of a whole window, oldest first: a call with its results, or one message."""
    found = []
    answered = {one.answers for one in retained if one.answers}
    for one in retained:
        if one.kind == "s" or one.result_of:
            continue
        missing = {call.id for call in one.calls if call not in answered}
        left = _without(one.payload, missing) if missing else one.payload
        results = [other for other in retained if other.answers in one.calls] if one.calls else []
        members = [one, *results] if left is not None else results
        if members:
            payloads = [other.payload if other is not one else left or {} for other in members]
            newest = max(other.seq for other in members)
            found.append(Part(members[0].seq, newest, sum(other.tokens for other in members), payloads))
    return found


def _without(payload: Payload, missing: set[str]) -> Payload | None:
    made = [call for call in payload["tool_calls"] if call["id"] not in missing]
    left = {name: value for name, value in payload.items() if name != "tool_calls"}
    if made:
        return {**payload, "tool_calls": made}
    return left if left["content"] else None


def within(found: Sequence[Part], budget: int, prompt_tokens: int) -> tuple[list[Part], int]:
    """Return the parts that fit a budget, with the newest part in any case, and the tokens of the window."""
    newest = max((part.newest for part in found), default=0)
    required = next((len(found) - at for at, part in enumerate(found) if part.newest == newest), 0)
    chosen: list[Part] = []
    tokens = prompt_tokens
    for part in reversed(found):
        if len(chosen) >= required and tokens + part.tokens > budget:
            break
        chosen.insert(0, part)
        tokens += part.tokens
    return chosen, tokens
