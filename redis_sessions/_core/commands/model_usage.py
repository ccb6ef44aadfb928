"""Read the token usage that a model's API reports, and count the messages of the answer by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

from ..._durations import whole
from ...errors import InvalidInput
from ...models.formats import recognise
from ...models.messages import Message
from ...settings import TokenCounter
from ..protocol.codec import counted
from ..protocol.json_values import to_payload

_OUTPUT_KEYS = (
    "output_tokens",  # OpenAI Responses, Anthropic, pydantic-ai, LangChain
    "completion_tokens",  # OpenAI chat
    "candidatesTokenCount",  # Gemini
    "candidates_token_count",
    "outputTokens",  # Bedrock, AI SDK
    "output",  # models.loops.Usage
)


def output_tokens(usage: Any) -> int:
    """Return the tokens that the model wrote, from the usage of an API response. Raises InvalidInput."""
    try:
        found = usage if isinstance(usage, Mapping) else to_payload(usage)
    except InvalidInput as problem:  # it names a message
        raise InvalidInput(name=problem.name.replace("message", "usage", 1), detail=problem.detail) from None
    for key in _OUTPUT_KEYS:
        if found.get(key) is not None:
            return whole(found[key], f"usage.{key}")
    raise InvalidInput(
        name="usage", detail=f"must have one of {', '.join(_OUTPUT_KEYS)}, got {', '.join(map(str, found))}"
    )


def with_usage(messages: Iterable[Any], usage: Any, counter: TokenCounter) -> list[Message]:
    """Return the messages of a batch with the output tokens of a model call as the tokens of its answer. Raises InvalidInput.

    The answer is the newest run of messages and items that a model made. Its parts share the tokens as their estimates say.
    """
    listed = [copy(one) if isinstance(one, Message) else Message(payload=one) for one in messages]
    answer: list[Message] = []
    for message in reversed(listed):
        if _is_of_model(message):
            answer.append(message)
        elif answer:
            break
    if not answer:
        detail = "needs a message or an item of the model in the batch, got none"
        raise InvalidInput(name="usage", detail=detail)
    left = output_tokens(usage) - sum(message.tokens or 0 for message in answer)
    parts = [message for message in answer if message.tokens is None]
    weights = [counted(counter, to_payload(part.payload)) for part in parts] if len(parts) > 1 else [1]
    for part, weight in zip(parts, weights, strict=False):
        part.tokens = max(left, 0) * weight // max(sum(weights), 1)
    if parts:
        parts[0].tokens = max(left, 0) - sum(part.tokens or 0 for part in parts[1:])
    return listed


def _is_of_model(message: Message) -> bool:
    """Return whether a model made a message or an item. The library's own entries about tools are not of a model."""
    return message.kind in "ar" or (message.kind == "c" and recognise(message.payload)[0] is not None)
