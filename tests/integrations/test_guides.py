"""The pages on frameworks: each Python block is a program that runs when it is copied alone, with a model of a few lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import agents
import claude_agent_sdk
import pytest
from agents.models.multi_provider import MultiProvider
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.models.registry import LLMRegistry
from google.genai import types
from strands.agent import agent as strands_agent
from strands.models import Model

from examples.integrations import openai_agents_chat
from tests.docs.test_code_blocks import ROOT, Block, python_programs
from tests.support.servers import Server, binaries

PAGES = sorted((ROOT / "docs" / "guides" / "integrations").glob("*.md"))
URL = "redis://localhost:6379/0"
"""The server that the pages name."""


class StrandsModel(Model):
    """A model of Strands that says how many messages it sees."""

    def update_config(self, **model_config: Any) -> None:
        """Take no configuration."""

    def get_config(self) -> dict[str, Any]:
        """Return no configuration."""
        return {}

    def structured_output(self, *given: Any, **options: Any) -> Any:
        """Refuse, because no page needs it."""
        raise NotImplementedError

    async def stream(self, messages: Any, *given: Any, **options: Any) -> AsyncIterator[Any]:
        """Yield the events of an answer."""
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": f"I see {len(messages)} messages."}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


class AdkModel(BaseLlm):
    """A model of the ADK that gives one answer."""

    async def generate_content_async(self, *given: Any, **options: Any) -> AsyncIterator[LlmResponse]:  # type: ignore[override, unused-ignore]
        """Yield the answer."""
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text="On belt 4.")]))


async def mirrored_query(*, prompt: str, options: Any) -> AsyncIterator[Any]:
    """Mirror a prompt as the Claude Agent SDK does, whose program needs an account."""
    key: Any = {"project_key": "p", "session_id": "s"}
    await options.session_store.append(key, [{"type": "user", "message": {"role": "user", "content": prompt}}])
    for entry in await options.session_store.load(key):
        yield entry


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return the URL of a server for the programs of the pages."""
    server = Server(binaries()["valkey-9"])
    yield server.url
    server.stop()


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each framework use a model of this file."""
    agents.set_tracing_disabled(True)
    monkeypatch.setattr(MultiProvider, "get_model", lambda *given: openai_agents_chat.Echo())
    monkeypatch.setattr(strands_agent, "BedrockModel", StrandsModel)
    monkeypatch.setattr(LLMRegistry, "new_llm", lambda name: AdkModel(model=name))
    monkeypatch.setattr(claude_agent_sdk, "query", mirrored_query)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("program", list(python_programs(PAGES)), ids=lambda program: program[0].name)
def test_python_block_runs(program: list[Block], url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every Python block runs as it stands, alone or behind the blocks that it continues, and prints what it promises."""
    names: dict[str, Any] = {"__name__": "docs"}
    assert program[0].title != "continued", f"{program[0].name}: there is no block above that it could continue"
    for block in program:
        code = "\n" * (block.line - 1) + block.code.replace(URL, url)
        exec(compile(code, str(block.page), "exec", dont_inherit=True), names)
    assert bool(capsys.readouterr().out) == any("print(" in block.code for block in program)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_shows_a_program(page: Any) -> None:
    """Each page of a framework has a program, and no code that no test runs."""
    text = page.read_text(encoding="utf-8")
    assert "```python\n" in text
    assert "```py\n" not in text
    assert "```text\nfrom " not in text
