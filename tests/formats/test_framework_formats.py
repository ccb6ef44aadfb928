"""Messages of LangChain, pydantic-ai, the AI SDK and Claude Code, in the shapes that their serializers write."""

from __future__ import annotations

from typing import Any

import pytest

import redis_sessions.formats  # noqa: F401 registers the formats
from redis_sessions.formats.ai_sdk import AISDKFormat, AISDKUIFormat
from redis_sessions.formats.claude_code import ClaudeCodeFormat
from redis_sessions.formats.langchain import LangChainFormat
from redis_sessions.formats.pydantic_ai import PydanticAIFormat
from redis_sessions.models.formats import Facts, MessageFormat, recognise

Payload = dict[str, Any]
LANGCHAIN = LangChainFormat()
PYDANTIC_AI = PydanticAIFormat()
MODEL = AISDKFormat()
UI = AISDKUIFormat()
CLAUDE_CODE = ClaudeCodeFormat()
ALL = (LANGCHAIN, PYDANTIC_AI, MODEL, UI, CLAUDE_CODE)
THINKING = {"part_kind": "thinking", "content": "Hm", "signature": "s"}
REASONING = {"type": "reasoning", "text": "Hm"}
STEP = {"type": "step-start"}


def lc(type: str, content: Any = "", **fields: Any) -> Payload:
    """Return the fields of a LangChain message, as `model_dump` gives them."""
    return {"content": content, "additional_kwargs": {}, "response_metadata": {}, "type": type, "id": None, **fields}


def forms(type: str, class_name: str, content: Any = "", **fields: Any) -> list[Payload]:
    """Return a LangChain message in its three forms."""
    flat = lc(type, content, **fields)
    path = ["langchain", "schema", "messages", class_name]
    constructor = {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": content, "type": type, **fields}}
    return [{"type": type, "data": flat}, flat, constructor]


def lc_call(id: Any, name: str = "f") -> Payload:
    """Return an entry of LangChain's `tool_calls`."""
    return {"name": name, "args": {}, "id": id, "type": "tool_call"}


def pa(kind: str, *parts: Any) -> Payload:
    """Return a message of pydantic-ai."""
    return {"kind": kind, "parts": list(parts)}


def pa_part(kind: str, id: Any = None, name: str | None = "f", content: Any = "") -> Payload:
    """Return a part of pydantic-ai, with a tool's name and call ID if an ID is given."""
    named = {} if id is None else {"tool_name": name, "tool_call_id": id}
    return {"part_kind": kind, "content": content, **named}


def message(role: str, *parts: Any) -> Payload:
    """Return a model message of the AI SDK, or an Anthropic message."""
    return {"role": role, "content": list(parts)}


def ui(role: str, *parts: Any) -> Payload:
    """Return a UI message."""
    return {"id": "m", "role": role, "parts": list(parts)}


def text(value: str) -> Payload:
    """Return a text part."""
    return {"type": "text", "text": value}


def tool(type: str, id: Any, **fields: Any) -> Payload:
    """Return a tool part of the AI SDK."""
    return {"type": type, "toolCallId": id, "toolName": "f", **fields}


def line(type: str, inner: Any = None, **fields: Any) -> Payload:
    """Return a line of a transcript of Claude Code."""
    record = {"type": type, "uuid": "u", "parentUuid": None, "sessionId": "s", **fields}
    return record if inner is None else {**record, "message": inner}


def all_but(*ids: str) -> Any:
    """Return a function that keeps every ID except some."""
    return lambda id: id not in ids


def everything(_: str) -> bool:
    """Keep every ID."""
    return True


def facts_of(format: MessageFormat, payload: Payload) -> Facts | None:
    """Return the facts of a payload, and require that the format is the one that recognises it."""
    found, facts = recognise(payload)
    assert found is not None
    assert found.name == format.name
    return facts


def test_langchain_message_has_same_facts_in_every_form() -> None:
    """The forms of `messages_to_dict`, `model_dump` and `dumpd` differ in their nesting only."""
    expected: list[tuple[list[Payload], Facts, str]] = [
        (forms("human", "HumanMessage", "hi"), Facts("user_message"), "hi"),
        (forms("system", "SystemMessage", "s"), Facts("system_message"), "s"),
        (forms("ai", "AIMessage", "a"), Facts("assistant_message"), "a"),
        (forms("AIMessageChunk", "AIMessageChunk", "a"), Facts("assistant_message"), "a"),
        (forms("ai", "AIMessage", tool_calls=[lc_call("1")]), Facts("assistant_message", ("1",)), ""),
        (forms("tool", "ToolMessage", "r", tool_call_id="1"), Facts("tool_message", (), ("1",)), "r"),
        (forms("function", "FunctionMessage", "r", name="f"), Facts("tool_message", (), ("f",)), "r"),
        (forms("chat", "ChatMessage", "c", role="assistant"), Facts("assistant_message"), "c"),
        (forms("remove", "RemoveMessage"), Facts("system_event"), ""),
    ]
    for payloads, facts, words in expected:
        for payload in payloads:
            assert facts_of(LANGCHAIN, payload) == facts
            assert LANGCHAIN.text(payload) == words


def test_langchain_call_is_found_in_every_place_that_repeats_it() -> None:
    """A call stands in `tool_calls`, in the content, and in the additional fields, and counts once."""
    block = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    responses = {"type": "function_call", "id": "fc", "call_id": "2", "name": "g"}
    raw = {"tool_calls": [{"id": "1", "function": {"name": "f"}}]}
    payload = lc("ai", [text("Hi"), block, responses], tool_calls=[lc_call("1")], additional_kwargs=raw)
    assert LANGCHAIN.facts(payload) == Facts("assistant_message", ("1", "2"))
    assert LANGCHAIN.keep(payload, all_but("1", "2"), everything) == lc("ai", [text("Hi")], tool_calls=[])
    left = lc("ai", [text("Hi"), responses], tool_calls=[])
    assert LANGCHAIN.keep(payload, all_but("1"), everything) == left


def test_langchain_invalid_call_and_legacy_call_open() -> None:
    """LangChain sends an invalid call to the model too, so the call needs a result."""
    invalid = lc("ai", "", tool_calls=[lc_call("1")], invalid_tool_calls=[lc_call("2")])
    legacy = lc("ai", "", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}})
    assert LANGCHAIN.facts(invalid) == Facts("assistant_message", ("1", "2"))
    assert LANGCHAIN.facts(legacy) == Facts("assistant_message", ("f",))
    assert LANGCHAIN.facts(lc("ai", "", tool_calls=[lc_call(None), lc_call(None)])) == Facts(
        "assistant_message", ("f", "f/2")
    )
    assert LANGCHAIN.keep(legacy, all_but("f"), everything) is None
    left = lc("ai", "", tool_calls=[lc_call("1")], invalid_tool_calls=[])
    assert LANGCHAIN.keep(invalid, all_but("2"), everything) == left


def test_langchain_message_keeps_its_form() -> None:
    """The kept part of a message has the form of the message."""
    for payload in forms("ai", "AIMessage", "Hi", tool_calls=[lc_call("1"), lc_call(2)]):
        assert LANGCHAIN.keep(payload, everything, everything) is payload
        left = LANGCHAIN.keep(payload, all_but("1"), everything)
        assert left is not None
        assert left.keys() == payload.keys()
        assert LANGCHAIN.facts(left) == Facts("assistant_message", ("2",))
    for payload in forms("tool", "ToolMessage", "r", tool_call_id="1"):
        assert LANGCHAIN.keep(payload, everything, all_but("1")) is None


def test_langchain_reasoning_leaves_with_its_call() -> None:
    """Reasoning blocks may not stand alone, and a message of reasoning only belongs to the next one."""
    thinking = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    use = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    assert LANGCHAIN.keep(lc("ai", [thinking, use], tool_calls=[lc_call("1")]), all_but("1"), everything) is None
    assert LANGCHAIN.facts(lc("ai", [thinking])) == Facts("reasoning", binds_next=True)


def test_langchain_human_message_may_hold_results() -> None:
    """A result block of Anthropic in a human message closes its call."""
    block = {"type": "tool_result", "tool_use_id": "1", "content": "r"}
    assert LANGCHAIN.facts(lc("human", [block])) == Facts("tool_message", (), ("1",))
    assert LANGCHAIN.facts(lc("human", [block, text("Hi")])) == Facts("user_message", (), ("1",))
    assert LANGCHAIN.keep(lc("human", [block, text("Hi")]), everything, all_but("1")) == lc("human", [text("Hi")])


def test_pydantic_ai_message_gives_facts_of_its_parts() -> None:
    """A request closes with its returns, and built-in tools are complete in their response."""
    system, prompt = pa_part("system-prompt", content="s"), pa_part("user-prompt", content="hi")
    returned, retried = pa_part("tool-return", "1"), pa_part("retry-prompt", "2")
    builtin = [pa_part("builtin-tool-call", "b"), pa_part("builtin-tool-return", "b")]
    expected = [
        (pa("request", system, prompt), Facts("user_message")),
        (pa("request", system), Facts("system_message")),
        (pa("request", returned, retried), Facts("tool_message", (), ("1", "2"))),
        (pa("request", returned, prompt), Facts("user_message", (), ("1",))),
        (pa("request", pa_part("retry-prompt")), Facts("user_message")),
        (pa("request", pa_part("retry-prompt", "x", name=None)), Facts("user_message")),
        ({**pa("request"), "instructions": "Be brief"}, Facts("system_message")),
        (pa("response", THINKING, pa_part("tool-call", "1"), *builtin), Facts("assistant_message", ("1",))),
        (pa("response", THINKING), Facts("reasoning", binds_next=True)),
    ]
    for payload, facts in expected:
        assert facts_of(PYDANTIC_AI, payload) == facts
    assert PYDANTIC_AI.text(expected[0][0]) == "hi"
    assert PYDANTIC_AI.text(expected[1][0]) == "s"
    media = [{"kind": "image-url", "url": "u"}, "and", {"kind": "text-content", "content": "more"}]
    assert PYDANTIC_AI.text(pa("request", pa_part("user-prompt", content=media))) == "and\nmore"


def test_pydantic_ai_speech_is_text_of_its_speaker() -> None:
    """The transcript of speech is text, and speech next to a result is a message of the user."""
    speech = {"part_kind": "speech", "speaker": "user", "transcript": "Where?"}
    assert PYDANTIC_AI.text(pa("request", speech)) == PYDANTIC_AI.text(pa("response", speech)) == "Where?"
    assert PYDANTIC_AI.text(pa("request", {**speech, "transcript": None})) == ""
    mixed = pa("request", pa_part("tool-return", "0", content="1"), speech)
    assert facts_of(PYDANTIC_AI, mixed) == Facts("user_message", closes=("0",))


def test_pydantic_ai_thinking_leaves_with_its_call() -> None:
    """A response without text, calls or files is gone."""
    called, said = pa_part("tool-call", "1"), pa_part("text", content="Hi")
    assert PYDANTIC_AI.keep(pa("response", THINKING, called), all_but("1"), everything) is None
    assert PYDANTIC_AI.keep(pa("response", said, THINKING, called), all_but("1"), everything) == pa("response", said)
    assert PYDANTIC_AI.keep(pa("response", called), everything, everything) == pa("response", called)


def test_pydantic_ai_requests_behind_call_are_merged_with_results_first() -> None:
    """Requests that no response precedes stay apart, because pydantic-ai accepts them."""
    prompt, one, two = pa_part("user-prompt", content="hi"), pa_part("tool-return", "1"), pa_part("tool-return", "2")
    called = pa("response", pa_part("tool-call", "1"), pa_part("tool-call", "2"))
    payloads = [pa("request", prompt), pa("request", prompt), called, pa("request", one)]
    late = {**pa("request", prompt, two), "instructions": "Be brief"}
    assert PYDANTIC_AI.join(payloads) == payloads
    merged = {**pa("request", one, two, prompt), "instructions": "Be brief"}
    assert PYDANTIC_AI.join([*payloads, late]) == [*payloads[:3], merged]


def test_model_message_gives_facts_of_its_parts() -> None:
    """A tool message closes, and a call that the provider ran opens nothing."""
    ran = tool("tool-call", "p", providerExecuted=True)
    expected = [
        (message("assistant", REASONING, text("Hi"), tool("tool-call", 1)), Facts("assistant_message", ("1",))),
        (message("assistant", ran, tool("tool-result", "p"), text("Hi")), Facts("assistant_message")),
        (message("assistant", tool("tool-call", "1"), tool("tool-result", "1")), Facts("assistant_message")),
        (message("tool", tool("tool-result", "1"), tool("tool-result", "2")), Facts("tool_message", (), ("1", "2"))),
        (message("tool", {"type": "tool-approval-response", "approvalId": "a"}), Facts("tool_message")),
        (message("user", text("Hi"), {"type": "file", "data": "x", "mediaType": "text/plain"}), Facts("user_message")),
        (message("user", {"type": "image", "image": "data:"}), Facts("user_message")),
        (message("assistant", REASONING), Facts("reasoning", binds_next=True)),
    ]
    for payload, facts in expected:
        assert facts_of(MODEL, payload) == facts
    assert MODEL.text(expected[0][0]) == "Hi"


def test_model_message_loses_approval_request_with_its_call() -> None:
    """A request for approval names its call, and may not stand without it."""
    asked = tool("tool-approval-request", "1", approvalId="a")
    payload = message("assistant", REASONING, tool("tool-call", "1"), asked, text("Hi"))
    assert MODEL.keep(payload, all_but("1"), everything) == message("assistant", REASONING, text("Hi"))
    assert MODEL.keep(message("assistant", REASONING, *payload["content"][1:3]), all_but("1"), everything) is None
    results = message("tool", tool("tool-result", "1"), tool("tool-result", "2"))
    assert MODEL.keep(results, everything, all_but("1")) == message("tool", tool("tool-result", "2"))
    assert MODEL.keep(results, everything, everything) is results


def test_neighbouring_tool_messages_are_merged() -> None:
    """Results of parallel calls stand in one tool message."""
    one, two = message("tool", tool("tool-result", "1")), message("tool", tool("tool-result", "2"))
    other = {"role": "tool", "tool_call_id": "3", "content": "openai"}
    merged = message("tool", tool("tool-result", "1"), tool("tool-result", "2"))
    assert MODEL.join([one, two, other, one]) == [merged, other, one]


@pytest.mark.parametrize("type", ["tool-f", "dynamic-tool"])
def test_ui_tool_part_opens_until_it_has_result(type: str) -> None:
    """A part with a result is complete in itself, and an unanswered part can be left out."""
    for state in ("input-streaming", "input-available", "approval-requested", None, 1):
        assert facts_of(UI, ui("assistant", tool(type, 1, state=state))) == Facts("assistant_message", ("1",))
    for state in ("output-available", "output-error", "output-denied", "approval-responded"):
        assert UI.facts(ui("assistant", tool(type, "1", state=state))) == Facts("assistant_message")
    assert UI.facts(ui("assistant", tool(type, "1", output="x"))) == Facts("assistant_message")
    done, running = tool(type, "1", state="output-available"), tool(type, "2", state="input-available")
    payload = ui("assistant", STEP, REASONING, done, STEP, REASONING, running)
    assert UI.keep(payload, everything, everything) is payload
    assert UI.keep(payload, all_but("2"), everything) == ui("assistant", STEP, REASONING, done)
    assert UI.keep(ui("assistant", STEP, REASONING, running), all_but("2"), everything) is None


def test_ui_window_leaves_parts_that_are_no_objects() -> None:
    """A part that is not an object stays in a message whose approved call leaves."""
    payload = ui("assistant", None, text("a"), tool("tool-f", "1", state="approval-responded"))
    assert UI.join([payload, ui("user", text("b"))])[0] == ui("assistant", None, text("a"))


def test_ui_message_gives_role_and_text() -> None:
    """The kind of a UI message is its role's, and an old tool invocation counts, too."""
    assert facts_of(UI, ui("user", text("a"), text("b"))) == Facts("user_message")
    assert facts_of(UI, ui("system", text("a"))) == Facts("system_message")
    assert facts_of(UI, ui("assistant")) == Facts("assistant_message")
    assert facts_of(UI, ui("assistant", STEP, REASONING)) == Facts("reasoning")
    old = {"type": "tool-invocation", "toolInvocation": {"state": "call", "toolCallId": "1", "toolName": "f"}}
    assert facts_of(UI, ui("assistant", old)) == Facts("assistant_message", ("1",))
    assert UI.text(ui("user", text("a"), REASONING, text("b"))) == "a\nb"


def test_ui_messages_of_library_have_id_of_their_text() -> None:
    """The same text gives the same ID, and a result is an assistant message with a complete tool part."""
    first, again, other = UI.user_message("Hi"), UI.user_message("Hi"), UI.system_message("Ho \ud800")
    assert first == again == {"id": first["id"], "role": "user", "parts": [text("Hi")]}
    assert first["id"].startswith("msg-")
    assert other["id"] != first["id"]
    result = UI.call_result("1", "f", "done")
    assert result["parts"] == [tool("dynamic-tool", "1", state="output-available", input={}, output="done")]
    assert UI.facts(result) == Facts("assistant_message")


def test_claude_code_line_gives_facts_of_its_message() -> None:
    """A line about the session is an event, and any other line counts as the message in it."""
    use, result = {"type": "tool_use", "id": "1", "name": "f"}, {"type": "tool_result", "tool_use_id": "1"}
    thinking = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    expected = [
        (line("user", {"role": "user", "content": "hi"}), Facts("user_message"), "hi"),
        (line("user", {"content": "hi"}), Facts("user_message"), "hi"),
        (line("user", message("user", result)), Facts("tool_message", (), ("1",)), ""),
        (line("assistant", message("assistant", text("Hi"), use)), Facts("assistant_message", ("1",)), "Hi"),
        (line("assistant", message("assistant", text("Hi"))), Facts("assistant_message"), "Hi"),
        (line("assistant", message("assistant", thinking)), Facts("reasoning", binds_next=True), ""),
        (line("system", content="compacted"), Facts("system_event"), "compacted"),
        ({"type": "summary", "summary": "A title", "leafUuid": "u"}, Facts("system_event"), "A title"),
        (line("file-history-snapshot", snapshot={}), Facts("system_event"), ""),
    ]
    for payload, facts, words in expected:
        assert facts_of(CLAUDE_CODE, payload) == facts
        assert CLAUDE_CODE.text(payload) == words


def test_claude_code_line_keeps_its_record() -> None:
    """The record of a line remains with the kept part of its message, without the details of a removed result."""
    result = {"type": "tool_result", "tool_use_id": "1"}
    payload = line("user", message("user", result, text("Hi")), toolUseResult={"stdout": "x"})
    assert CLAUDE_CODE.keep(payload, everything, everything) is payload
    assert CLAUDE_CODE.keep(payload, everything, all_but("1")) == line("user", message("user", text("Hi")))
    assert CLAUDE_CODE.keep(line("user", message("user", result)), everything, all_but("1")) is None
    event = line("summary", summary="A title")
    assert CLAUDE_CODE.keep(event, everything, everything) is event


def test_answer_names_tool_of_its_call() -> None:
    """A synthetic result in a framework's format names the tool of its call, and closes the call."""
    use = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    raw = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calls: list[tuple[MessageFormat, Payload]] = [
        (PYDANTIC_AI, pa("response", THINKING, pa_part("tool-call", "0", "g"), pa_part("tool-call", "1"))),
        (MODEL, message("assistant", REASONING, tool("tool-call", "1"))),
        (LANGCHAIN, lc("ai", invalid_tool_calls=[lc_call("1")])),
        (LANGCHAIN, lc("ai", [use])),
        (LANGCHAIN, lc("ai", additional_kwargs={"tool_calls": [raw]})),
    ]
    for format, payload in calls:
        result = format.answer(payload, "1", "none")
        wanted = format.call_result("1", "f", "none")
        assert result == (wanted["data"] if format is LANGCHAIN else wanted)
        assert result is not None
        assert facts_of(format, result) == Facts("tool_message", (), ("1",))


def test_answer_has_form_of_its_payload() -> None:
    """A synthetic result of LangChain has the form of the message that made the call."""
    result = LANGCHAIN.call_result("1", "f", "none")
    path = ["langchain", "schema", "messages", "ToolMessage"]
    constructor = {"lc": 1, "type": "constructor", "id": path, "kwargs": result["data"]}
    payloads = forms("ai", "AIMessage", tool_calls=[lc_call("0", "g"), lc_call("1")])
    answers = [LANGCHAIN.answer(payload, "1", "none") for payload in payloads]
    assert answers == [result, result["data"], constructor]
    assert {facts_of(LANGCHAIN, answer) for answer in answers} == {Facts("tool_message", (), ("1",))}


def test_answer_of_ui_part_names_tool_of_its_type() -> None:
    """The name of a UI part's tool is in its type, in the part or in its invocation."""
    old = {"type": "tool-invocation", "toolInvocation": {"state": "call", "toolCallId": "1", "toolName": "f"}}
    for part in (tool("tool-f", "1"), tool("dynamic-tool", "1"), old):
        assert UI.answer(ui("assistant", STEP, part), "1", "none") == UI.call_result("1", "f", "none")


def test_answer_of_claude_code_line_is_a_line() -> None:
    """The synthetic result of a call in a line is a line of the user."""
    use = {"type": "tool_use", "id": "1", "name": "f"}
    payload = line("assistant", message("assistant", use))
    assert CLAUDE_CODE.answer(payload, "1", "none") == CLAUDE_CODE.call_result("1", "f", "none")


@pytest.mark.parametrize("format", ALL, ids=lambda format: format.name)
def test_messages_of_library_are_recognised_by_their_format(format: MessageFormat) -> None:
    """A user message, a system message and a result of a format have the facts that the core expects."""
    user = format.facts(format.user_message("Hi"))
    assert user == Facts("user_message") or format is MODEL
    assert format.text(format.user_message("Hi")) == "Hi"
    if format.has_system_messages and format is not MODEL:
        assert format.facts(format.system_message("Hi")) == Facts("system_message")
    if format is not UI:
        assert format.facts(format.call_result("1", "f", "done")) == Facts("tool_message", (), ("1",))


@pytest.mark.parametrize("value", [None, 1, "x", [], [None, 1, "x", []], {}, {"x": 1}, [{}], [{"type": []}], [["x"]]])
def test_wrong_types_raise_nothing(value: Any) -> None:
    """Each field may have any JSON value."""
    samples = [
        *forms("ai", "AIMessage", [text("Hi")], tool_calls=[lc_call("1")], invalid_tool_calls=[]),
        *forms("tool", "ToolMessage", "r", tool_call_id="1"),
        pa("response", pa_part("tool-call", "1"), THINKING),
        message("assistant", tool("tool-call", "1")),
        ui("assistant", tool("tool-f", "1")),
        line("assistant", message("assistant", text("Hi"))),
    ]
    broken = [{**sample, key: value} for sample in samples for key in [*sample, "content", "parts", "message"]]
    for payload in broken:
        for format in ALL:
            if format.facts(payload) is not None:
                format.keep(payload, all_but("1"), all_but("1"))
            answer = format.answer(payload, "1", "none")
            assert answer is not None
            assert format.facts(answer) is not None
            assert isinstance(format.text(payload), str)
    for format in ALL:
        assert len(format.join(broken)) <= len(broken)
