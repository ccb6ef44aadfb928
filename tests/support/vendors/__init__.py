"""The rules of the vendors for a list of messages, from their published documentation, without any code of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import ai_sdk, anthropic, bedrock, claude_code, gemini, langchain, openai_chat, openai_responses, pydantic_ai

VALIDATORS: dict[str, Callable[[list[dict[str, Any]]], list[str]]] = {
    "openai_chat": openai_chat.problems,
    "openai_responses": openai_responses.problems,
    "anthropic": anthropic.problems,
    "gemini": gemini.problems,
    "bedrock": bedrock.problems,
    "langchain": langchain.problems,
    "pydantic_ai": pydantic_ai.problems,
    "ai_sdk": ai_sdk.problems,
    "claude_code": claude_code.problems,
}
"""The validator of each format. It returns the reasons why the vendor refuses a list, [] if the vendor accepts the list."""
