"""Lists of messages that a vendor accepts, and lists that a vendor refuses with the reason."""

from __future__ import annotations

from typing import Any

Payloads = list[dict[str, Any]]


def chat(role: str, content: Any = "text", **more: Any) -> dict[str, Any]:
    """Return a message with a role and content."""
    return {"role": role, "content": content, **more}


def chat_calls(*ids: str) -> dict[str, Any]:
    """Return an OpenAI chat message with calls."""
    made = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
    return chat("assistant", None, tool_calls=made)


def chat_result(id: str) -> dict[str, Any]:
    """Return an OpenAI chat message with a result."""
    return chat("tool", "r", tool_call_id=id)


def item(type: str, id: str, **more: Any) -> dict[str, Any]:
    """Return an item of the Responses API. A call or output has the ID as its call ID."""
    return {"type": type, "id" if type == "reasoning" else "call_id": id, **more}


def uses(*ids: str) -> list[dict[str, Any]]:
    """Return Anthropic blocks that make calls."""
    return [{"type": "tool_use", "id": id, "name": "f", "input": {}} for id in ids]


def results(*ids: str) -> list[dict[str, Any]]:
    """Return Anthropic blocks with results."""
    return [{"type": "tool_result", "tool_use_id": id, "content": "r"} for id in ids]


TEXT = {"type": "text", "text": "text"}
THINKING = {"type": "thinking", "thinking": "t", "signature": "s"}


def said(role: str) -> dict[str, Any]:
    """Return a Bedrock message with text."""
    return chat(role, [{"text": "text"}])


def bedrock_calls(*ids: str) -> dict[str, Any]:
    """Return a Bedrock message with calls."""
    return chat("assistant", [{"toolUse": {"toolUseId": id, "name": "f", "input": {}}} for id in ids])


def bedrock_results(*ids: str, text: bool = False) -> dict[str, Any]:
    """Return a Bedrock message with results, and with text behind them."""
    blocks: list[dict[str, Any]] = [{"toolResult": {"toolUseId": id, "content": [{"text": "r"}]}} for id in ids]
    return chat("user", [*blocks, {"text": "text"}] if text else blocks)


def content(role: str, *parts: Any) -> dict[str, Any]:
    """Return a Gemini content."""
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def call(name: str, id: str | None = None, key: str = "functionCall") -> dict[str, Any]:
    """Return a Gemini part with a call."""
    return {key: {"name": name, "args": {}} | ({"id": id} if id else {})}


def response(name: str, id: str | None = None, key: str = "functionResponse") -> dict[str, Any]:
    """Return a Gemini part with a result."""
    return {key: {"name": name, "response": {}} | ({"id": id} if id else {})}


def chain(type: str, text: str = "text", **data: Any) -> dict[str, Any]:
    """Return a LangChain message."""
    return {"type": type, "data": {"type": type, "content": text, **data}}


def chain_calls(*ids: str, text: Any = "", **data: Any) -> dict[str, Any]:
    """Return a LangChain message with calls."""
    return chain("ai", text, tool_calls=[{"name": "f", "args": {}, "id": id} for id in ids], **data)


def parts(kind: str, *kinds: str) -> dict[str, Any]:
    """Return a Pydantic AI message. A kind may have a call ID behind a colon."""
    pairs = [kind.partition(":") for kind in kinds]
    return {
        "kind": kind,
        "parts": [{"part_kind": name, "tool_name": "f", "tool_call_id": id, "content": "c"} for name, _, id in pairs],
    }


def sdk_part(type: str, id: str, **more: Any) -> dict[str, Any]:
    """Return an AI SDK part about a call."""
    return {"type": type, "toolCallId": id, "toolName": "f"} | more


def line(message: dict[str, Any]) -> dict[str, Any]:
    """Return a line of a Claude Code transcript."""
    return {"type": message["role"], "uuid": "u", "message": message}


U, A = chat("user"), chat("assistant")
ASKED, SAID = parts("request", "user-prompt"), parts("response", "text")

ACCEPTED: list[tuple[str, Payloads]] = [
    ("openai_chat", [A, U]),
    ("openai_chat", [chat("system"), U, chat_calls("a", "b"), chat_result("b"), chat_result("a"), A]),
    ("openai_chat", [U, chat_calls("a"), chat_result("a"), chat_calls("a"), chat_result("a")]),
    ("openai_responses", [U, item("reasoning", "r"), item("function_call", "a"), item("function_call_output", "a")]),
    ("openai_responses", [item("function_call", "a"), U, item("function_call_output", "a")]),
    ("openai_responses", [U, {"type": "mcp_call", "id": "m"}, {"type": "web_search_call", "id": "w"}, A]),
    (
        "openai_responses",
        [{"type": "mcp_approval_request", "id": "m"}, item("mcp_approval_response", "x", approval_request_id="m")],
    ),
    (
        "openai_responses",
        [item("local_shell_call", "a", status="completed"), {"type": "local_shell_call_output", "id": "a"}],
    ),
    ("anthropic", [U, U, A, A]),
    ("anthropic", [U, chat("assistant", [THINKING, TEXT, *uses("a", "b")]), chat("user", [*results("b", "a"), TEXT])]),
    (
        "anthropic",
        [
            U,
            chat(
                "assistant",
                [{"type": "server_tool_use", "id": "s"}, {"type": "web_search_tool_result", "tool_use_id": "s"}],
            ),
        ],
    ),
    ("bedrock", [said("user"), said("assistant"), said("user")]),
    ("bedrock", [said("user"), bedrock_calls("a", "b"), bedrock_results("b", "a", text=True), said("assistant")]),
    ("gemini", [content("user", "t"), content("user", "t"), content("model", "t"), content("model", "t")]),
    (
        "gemini",
        [
            content("user", "t"),
            content("model", "t", call("f"), call("f")),
            content("user", response("f"), response("f")),
        ],
    ),
    (
        "gemini",
        [
            content("user", "t"),
            content("model", call("f", "1"), call("g", "2")),
            content("user", response("g", "2"), response("f", "1")),
        ],
    ),
    (
        "gemini",
        [content("user", "t"), content("model", call("f", key="function_call")), content("function", response("f"))],
    ),
    (
        "langchain",
        [chain("human"), chain_calls("a", "b"), chain("tool", tool_call_id="b"), chain("tool", tool_call_id="a")],
    ),
    ("langchain", [{"type": "human", "content": "t"}, {"type": "ai", "content": "t", "tool_calls": []}]),
    (
        "pydantic_ai",
        [ASKED, parts("response", "thinking", "tool-call:a"), parts("request", "tool-return:a", "user-prompt"), SAID],
    ),
    (
        "pydantic_ai",
        [
            parts("response", "tool-call:a", "tool-call:b"),
            parts("request", "tool-return:a"),
            parts("request", "retry-prompt:b"),
        ],
    ),
    (
        "ai_sdk",
        [U, chat("assistant", [TEXT, sdk_part("tool-call", "a")]), chat("tool", [sdk_part("tool-result", "a")]), A],
    ),
    (
        "ai_sdk",
        [U, chat("assistant", [sdk_part("tool-call", "a", providerExecuted=True), sdk_part("tool-result", "a")])],
    ),
    (
        "claude_code",
        [
            line(U),
            line(chat("assistant", [THINKING])),
            line(chat("assistant", uses("a"))),
            line(chat("assistant", uses("b"))),
            line(chat("user", results("b"))),
            {"type": "system"},
            line(chat("user", results("a"))),
            line(A),
        ],
    ),
]

REFUSED: list[tuple[str, Payloads, str]] = [
    ("openai_chat", [U, chat_calls("a")], "the end: the call 'a' has no result"),
    ("openai_chat", [U, chat_calls("a", "b"), chat_result("a"), A], "the calls ['b'] before it have no result"),
    ("openai_chat", [U, chat_calls("a"), U, chat_result("a")], "message 3: the result of 'a' has no call directly"),
    ("openai_chat", [chat_result("a"), U], "message 0: the result of 'a'"),
    ("openai_chat", [U, chat_calls("a"), chat_result("a"), chat_result("a")], "message 3: the result of 'a'"),
    ("openai_chat", [U, chat_calls("a", "a"), chat_result("a"), chat_result("a")], "made twice"),
    ("openai_chat", [U, chat("assistant", "t", tool_calls=[])], "tool_calls is an empty list"),
    ("openai_chat", [U, chat("assistant", None)], "neither content nor calls"),
    ("openai_chat", [chat("model")], "the role 'model' is unknown"),
    ("openai_responses", [U, item("function_call_output", "a")], "the output of 'a' has no call before it"),
    ("openai_responses", [U, item("function_call", "a")], "the call 'a' has no output"),
    ("openai_responses", [item("function_call", "a"), item("custom_tool_call_output", "a")], "has no call before it"),
    ("openai_responses", [U, item("reasoning", "r")], "no item follows the reasoning 'r'"),
    ("openai_responses", [U, item("reasoning", "r"), U], "no item of the model after it"),
    ("openai_responses", [{**A, "id": "m"}, {**A, "id": "m"}], "the item 'm' is there twice"),
    ("anthropic", [A, U], "the first message is not a user message"),
    ("anthropic", [chat("user", results("a"))], "no call 'a' before its result"),
    ("anthropic", [U, chat("assistant", uses("a"))], "the call 'a' has no result"),
    (
        "anthropic",
        [U, chat("assistant", uses("a", "b")), chat("user", results("a")), chat("user", results("b"))],
        "no result of 'b'",
    ),
    ("anthropic", [U, chat("assistant", uses("a")), U, chat("user", results("a"))], "message 2: no result of 'a'"),
    ("anthropic", [U, chat("assistant", uses("a")), chat("user", [TEXT, *results("a")])], "do not come first"),
    ("anthropic", [U, chat("assistant", [TEXT, THINKING])], "the last block is a thinking block"),
    ("anthropic", [U, chat("assistant", [])], "the content is empty"),
    ("anthropic", [chat("user", [{"type": "text", "text": ""}])], "a text block is empty"),
    ("anthropic", [chat("system"), U], "the role 'system' is unknown"),
    (
        "anthropic",
        [U, chat("assistant", [{"type": "server_tool_use", "id": "s"}]), U],
        "the server tool call 's' is not whole",
    ),
    ("bedrock", [said("user"), said("user")], "the roles do not alternate"),
    ("bedrock", [said("assistant")], "the first message is not a user message"),
    ("bedrock", [said("user"), bedrock_calls("a", "b"), bedrock_results("a")], "no result of 'b'"),
    ("bedrock", [said("user"), bedrock_calls("a"), bedrock_results("a", "b")], "no call 'b'"),
    ("bedrock", [said("user"), bedrock_calls("a b"), bedrock_results("a b")], "other characters"),
    ("bedrock", [chat("user", [{"text": " "}])], "a text block is empty"),
    ("bedrock", [said("user"), chat("assistant", [{"reasoningContent": {}}])], "reasoning only"),
    ("gemini", [content("model", "t")], "the first content is not a user's"),
    ("gemini", [content("user", response("f"))], "the first content is not a user's"),
    (
        "gemini",
        [content("user", "t"), content("model", "t"), content("model", call("f")), content("user", response("f"))],
        "follow a model content",
    ),
    (
        "gemini",
        [content("user", "t"), content("model", call("f"), call("f")), content("user", response("f"))],
        "no result of 'f/2'",
    ),
    (
        "gemini",
        [content("user", "t"), content("model", call("f")), content("user", "t"), content("user", response("f"))],
        "no result of 'f/1'",
    ),
    ("gemini", [content("user", "t"), content("model")], "there are no parts"),
    ("gemini", [content("user", "t"), content("model", {"thoughtSignature": "s"})], "has no data"),
    ("langchain", [chain("human"), chain_calls("a"), chain("ai")], "the calls ['a'] before it have no result"),
    ("langchain", [chain("tool", tool_call_id="a")], "the result of 'a'"),
    (
        "langchain",
        [chain("human"), chain("ai", additional_kwargs={"tool_calls": [{"id": "a"}]})],
        "the call 'a' has no result",
    ),
    ("langchain", [chain("human"), chain("ai", [TEXT, *uses("a")], tool_calls=[])], "the call 'a' has no result"),  # type: ignore[arg-type]
    ("langchain", [chain("human"), chain("ai", "", tool_calls=[])], "the content is empty"),
    ("pydantic_ai", [ASKED, parts("response", "tool-call:a"), ASKED], "no result of 'a'"),
    ("pydantic_ai", [parts("request", "tool-return:a")], "no call 'a'"),
    (
        "pydantic_ai",
        [parts("response", "tool-call:a"), ASKED, parts("request", "tool-return:a")],
        "after a user prompt",
    ),
    ("pydantic_ai", [ASKED, parts("response", "thinking")], "thinking only"),
    ("pydantic_ai", [ASKED, parts("response")], "there are no parts"),
    ("ai_sdk", [U, chat("assistant", [sdk_part("tool-call", "a")]), U], "the calls ['a'] before it have no result"),
    ("ai_sdk", [U, chat("tool", [sdk_part("tool-result", "a")])], "the result of 'a'"),
    ("ai_sdk", [U, chat("assistant", [])], "the content is empty"),
    ("claude_code", [line(chat("user", results("a")))], "no call 'a'"),
    ("claude_code", [line(U), line(chat("assistant", [THINKING]))], "thinking block"),
    (
        "claude_code",
        [line(U), line(chat("assistant", uses("a"))), line(U), line(chat("user", results("a")))],
        "do not come first",
    ),
    ("claude_code", [{"type": "summary", "summary": "t"}], "the list is empty"),
    (
        "gemini",
        [content("user", "t"), content("model", call("f", "1")), content("user", response("g", "1"))],
        "names the tool 'g'",
    ),
    (
        "ai_sdk",
        [U, chat("assistant", [sdk_part("tool-call", "a")]), chat("tool", [sdk_part("tool-result", "a", toolName="")])],
        "names the tool ''",
    ),
]
