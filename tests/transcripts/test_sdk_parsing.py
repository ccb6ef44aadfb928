"""The official SDKs parse the windows of their formats. A test is skipped if its SDK is not installed.

To run all: `pip install -r requirements-sdks.txt`. `make long` does so.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest
from pydantic import TypeAdapter

from redis_sessions import SessionCache
from tests.support.vendors import VALIDATORS
from tests.support.vendors.conversations import conversation

SEEDS = range(200 if os.environ.get("REDIS_SESSIONS_SOAK") else 8)
BUDGETS = (60, 400, 10**9)
Payloads = list[dict[str, Any]]


def module(name: str) -> Any:
    """Return a module of an SDK. Skip the test if the SDK is not installed."""
    pytest.importorskip(name.partition(".")[0] if "google" not in name else "google.genai")
    return importlib.import_module(name)


SDKS = {
    "openai_chat": "openai.types.chat", "openai_responses": "openai.types.responses", "anthropic": "anthropic.types",
    "gemini": "google.genai.types", "bedrock": "botocore.session", "langchain": "langchain_core.messages",
    "pydantic_ai": "pydantic_ai.messages",
}  # fmt: skip
"""The module of each SDK that parses messages."""


@pytest.fixture
def windows(request: pytest.FixtureRequest) -> list[Payloads]:
    """Return windows of conversations in one format, after each fifth step, at several budgets."""
    format, found = request.param, []
    module(SDKS[format])
    with SessionCache.from_url("fake://") as cache:
        create: Any = cache.create
        for seed in SEEDS:
            session = create(format=format, max_messages=12)
            for number, step in enumerate(conversation(format, seed, 25, operations=0).steps):
                session.append(*[entry.payload for entry in step.entries])
                if number % 5 == 4:
                    found += [session.context(max_tokens=budget).payloads for budget in BUDGETS]
    assert len(found) == len(SEEDS) * 15
    return [window for window in found if window]


def parse(type: Any, window: Payloads) -> None:
    """Parse a window with the types of an SDK. Iterators inside are parsed when the window is written back."""
    adapter = TypeAdapter(list[type])
    adapter.dump_python(adapter.validate_python(window), mode="json")


@pytest.mark.parametrize("windows", ["openai_chat"], indirect=True)
def test_openai_chat_windows_parse(windows: list[Payloads]) -> None:
    """The OpenAI SDK parses chat windows."""
    param = module(SDKS["openai_chat"]).ChatCompletionMessageParam
    for window in windows:
        parse(param, window)


@pytest.mark.parametrize("windows", ["openai_responses"], indirect=True)
def test_openai_responses_windows_parse(windows: list[Payloads]) -> None:
    """The OpenAI SDK parses windows of Responses items."""
    param = module(SDKS["openai_responses"]).ResponseInputItemParam
    for window in windows:
        parse(param, window)


@pytest.mark.parametrize("windows", ["anthropic"], indirect=True)
def test_anthropic_windows_parse(windows: list[Payloads]) -> None:
    """The Anthropic SDK parses windows."""
    param = module(SDKS["anthropic"]).MessageParam
    for window in windows:
        parse(param, window)


@pytest.mark.parametrize("windows", ["gemini"], indirect=True)
def test_gemini_windows_parse(windows: list[Payloads]) -> None:
    """The Google Gen AI SDK parses windows, and knows every field."""
    content = module(SDKS["gemini"]).Content
    for window in windows:
        parse(content, window)


@pytest.mark.parametrize("windows", ["bedrock"], indirect=True)
def test_bedrock_windows_parse(windows: list[Payloads]) -> None:
    """The AWS SDK accepts windows as the messages of Converse."""
    service = module(SDKS["bedrock"]).get_session().get_service_model("bedrock-runtime")
    shape = service.operation_model("Converse").input_shape
    validator = module("botocore.validate").ParamValidator()
    for window in windows:
        assert validator.validate({"modelId": "m", "messages": window}, shape).generate_report() == ""


@pytest.mark.parametrize("windows", ["langchain"], indirect=True)
def test_langchain_windows_parse(windows: list[Payloads]) -> None:
    """LangChain parses windows, and what it makes of them for OpenAI is valid for OpenAI."""
    messages = module(SDKS["langchain"])
    any_message: Any = messages.AnyMessage
    flat = TypeAdapter(list[any_message])
    for window in windows:
        parsed = messages.messages_from_dict(window) if "data" in window[0] else flat.validate_python(window)
        converted = messages.convert_to_openai_messages(parsed)
        assert VALIDATORS["openai_chat"](converted) == [], window


@pytest.mark.parametrize("windows", ["pydantic_ai"], indirect=True)
def test_pydantic_ai_windows_parse(windows: list[Payloads]) -> None:
    """Pydantic AI parses windows, and an agent goes on with them."""
    adapter = module(SDKS["pydantic_ai"]).ModelMessagesTypeAdapter
    agent = module("pydantic_ai").Agent(module("pydantic_ai.models.test").TestModel())
    for window in windows:
        result = agent.run_sync("Go on.", message_history=adapter.validate_python(window))
        assert result.output
