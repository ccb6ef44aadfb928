"""Read the token usage that a model's API reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._durations import whole
from ...errors import InvalidInput
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
