"""The message formats of vendors and frameworks, registered with the core."""

from __future__ import annotations

from ..models.formats import register_built_in
from .ai_sdk import AISDKFormat, AISDKUIFormat
from .anthropic import AnthropicFormat
from .bedrock import BedrockFormat
from .claude_code import ClaudeCodeFormat
from .gemini import GeminiFormat
from .langchain import LangChainFormat
from .openai_chat import OpenAIChatFormat
from .openai_responses import OpenAIResponsesFormat
from .plain import PlainFormat
from .pydantic_ai import PydanticAIFormat

__all__: list[str] = []

_FORMATS = (
    ClaudeCodeFormat(),
    PydanticAIFormat(),
    LangChainFormat(),
    AISDKUIFormat(),
    GeminiFormat(),
    BedrockFormat(),
    AnthropicFormat(),
    OpenAIResponsesFormat(),
    AISDKFormat(),
    OpenAIChatFormat(),
    PlainFormat(),
)
"""The built-in formats, the most specific first. Plain is the last because it takes what the others leave."""

register_built_in(*_FORMATS)
