"""Details of vendors' messages that a window must keep, each as an SDK writes them."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import Message, SessionCache, StateConflict
from redis_sessions.models.formats import format_named, recognise
from tests.support.vendors import VALIDATORS

Payload = dict[str, Any]


def part_text(text: str, role: str = "user") -> Payload:
    """Return a content of Gemini with a text."""
    return {"role": role, "parts": [{"text": text}]}


def called(*calls: tuple[str | None, str]) -> Payload:
    """Return a content of Gemini with calls, each an ID or None, and a name."""
    own = [{"name": name, "args": {}} if id is None else {"id": id, "name": name, "args": {}} for id, name in calls]
    return {"role": "model", "parts": [{"functionCall": one} for one in own]}


def answered(*results: tuple[str | None, str]) -> Payload:
    """Return a content of Gemini with results, each an ID or None, and a name."""
    own = [
        {"name": name, "response": {}} if id is None else {"id": id, "name": name, "response": {}}
        for id, name in results
    ]
    return {"role": "user", "parts": [{"functionResponse": one} for one in own]}


@pytest.mark.parametrize("is_one_batch", [True, False])
@pytest.mark.parametrize(
    ("calls", "results"),
    [
        ([("abc", "f")], [(None, "f")]),
        ([(None, "f")], [("abc", "f")]),
        ([("1", "f"), ("2", "g"), ("3", "f")], [(None, "g"), (None, "f"), (None, "f")]),
    ],
)
def test_gemini_result_without_id_answers_the_call(
    cache: SessionCache, calls: list[tuple[str | None, str]], results: list[tuple[str | None, str]], is_one_batch: bool
) -> None:
    """google-genai writes results without IDs for calls with IDs. The call is not abandoned, and the window has both."""
    session = cache.create(format="gemini")
    payloads = [part_text("q"), called(*calls), answered(*results), part_text("done", "model")]
    for batch in [payloads] if is_one_batch else [[one] for one in payloads]:
        session.append(*batch)
    assert not any(message.is_late for message in session.history())
    assert not session.history()[-1].continues_group
    found = session.context().payloads
    assert len(found) == 4
    assert found[1] == payloads[1]
    assert VALIDATORS["gemini"](found) == []


def test_gemini_result_with_id_does_not_answer_another_call(cache: SessionCache) -> None:
    """A result answers the call with its ID only, though a call of the same function is open."""
    session = cache.create(format="gemini")
    session.append(part_text("q"), called(("1", "f")))
    session.abandon_calls(["1"])
    session.append(called(("2", "f")), answered(("1", "f")), answered(("2", "f")))
    assert [message.is_late for message in session.history()] == [False, False, False, True, False]
    assert session.context().payloads[1:] == [called(("2", "f")), answered(("2", "f"))]


def test_gemini_result_without_id_is_popped_replaced_and_appended_again(cache: SessionCache) -> None:
    """A call with an ID is open again after its result was popped, and the result can be redacted."""
    session = cache.create(format="gemini", max_messages=4)
    session.append(part_text("q"), called(("abc", "f")), answered((None, "f")))
    session.pop()
    session.append(answered((None, "f")))
    redacted = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "removed"}}}]}
    session.replace(3 + 1, redacted)
    assert session.context().payloads == [part_text("q"), called(("abc", "f")), redacted]


REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "g" * 400}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I will look."}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "x" * 4000}
USAGE = {"input_tokens": 10, "output_tokens": 1500, "total_tokens": 1510}


@pytest.mark.parametrize("output", [[CALL], [CALL, {**CALL, "id": "fc_2", "call_id": "b"}], [REASONING, SAID, CALL]])
def test_output_tokens_of_a_response_are_counted_once(cache: SessionCache, output: list[Payload]) -> None:
    """The items of a response share its output tokens, also if the response has no message. Others keep their estimate."""
    session = cache.create()
    session.append({"role": "user", "content": "q"}, *output, usage=USAGE)
    asked, *made = [message.tokens or 0 for message in session.history()]
    assert asked == 1
    assert sum(made) == 1500
    assert made[-1] > 500


def test_usage_counts_the_newest_answer_only(cache: SessionCache) -> None:
    """An answer ends at a message that no model made, and a count of the caller stays."""
    session = cache.create()
    result = {"type": "function_call_output", "call_id": "a", "output": "done"}
    entry = Message.tool_call("f", "an entry of the library")
    session.append(
        Message(payload=CALL, tokens=3), result, Message(payload=REASONING, tokens=100), SAID, entry, usage=USAGE
    )
    assert [message.tokens for message in session.history()][:4] == [3, 2, 100, 1400]


def end(cache: SessionCache, agent: str) -> None:
    """Claim the child of an agent, and complete it."""
    run = cache.claim(agent)
    assert run is not None
    run.complete("done")


def ui(id: str, role: str, *parts: Payload) -> Payload:
    """Return a UI message of the AI SDK."""
    return {"id": id, "role": role, "parts": list(parts)}


UI_USER = ui("1", "user", {"type": "text", "text": "go"})


def test_each_report_of_a_child_has_its_own_ui_message_id(cache: SessionCache) -> None:
    """A UI message needs an ID that no other message has, and reads of the message give the same ID."""
    parent = cache.create()
    parent.append(UI_USER)
    for name in ("one", "two"):
        parent.spawn(name, task="x").raise_if_refused()
        end(cache, name)
    ids = [payload["id"] for payload in parent.context().payloads]
    assert len(set(ids)) == 3
    assert ids == [message.payload["id"] for message in parent.history()]
    assert all(id.startswith("msg-") and "@" not in id for id in ids[1:])


def test_child_of_a_ui_session_reports_a_user_message(cache: SessionCache) -> None:
    """A result is a part of its call in UI messages, so report='tool_result' gives a user message of this format."""
    parent = cache.create()
    parent.append(UI_USER, ui("2", "assistant", {"type": "tool-spawn", "toolCallId": "c9", "state": "input-available"}))
    by = {"tool_call_id": "c9", "tool_name": "spawn"}
    parent.spawn("helper", task="x", spawned_by=by, report="tool_result").raise_if_refused()
    end(cache, "helper")
    told = parent.context().payloads[-1]
    assert told["role"] == "user"
    assert told["parts"] == [{"type": "text", "text": "[helper completed] done"}]
    assert recognise(told)[0] is format_named("ai_sdk_ui")


def test_approved_ui_call_stays_only_in_the_last_message(cache: SessionCache) -> None:
    """The AI SDK runs an approved tool when its message is the last. Behind it a call without a result would be refused."""
    asked = {"type": "tool-rm", "toolCallId": "c", "state": "approval-responded", "input": {}, "approval": {"id": "ap"}}
    said = {"type": "text", "text": "May I?"}
    session = cache.create()
    session.append(UI_USER, ui("2", "assistant", {"type": "step-start"}, said, asked))
    assert session.context().payloads[-1]["parts"][-1] == asked
    session.append(ui("3", "assistant", asked), ui("4", "user", {"type": "text", "text": "hello?"}))
    found = session.context().payloads
    assert [payload["id"] for payload in found] == ["1", "2", "4"]
    assert found[1]["parts"] == [{"type": "step-start"}, said]


def test_anthropic_response_becomes_a_message_of_the_request(cache: SessionCache) -> None:
    """The API refuses the fields of a response in a request, and the stored message keeps them."""
    response = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "yo"}], "stop_sequence": None, "usage": {"input_tokens": 1},
    }  # fmt: skip
    session = cache.create()
    session.append({"role": "user", "content": "hi"}, response)
    assert session.context().payloads[-1] == {"role": "assistant", "content": response["content"]}
    assert session.history()[-1].payload == response


DATA: Payload = {
    "content": "go",
    "additional_kwargs": {},
    "response_metadata": {},
    "type": "human",
    "name": None,
    "id": None,
}
HUMANS: dict[str, Payload] = {
    "flat": DATA,
    "data": {"type": "human", "data": DATA},
    "dumpd": {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "HumanMessage"],
        "kwargs": DATA,
    },
}


@pytest.mark.parametrize("form", HUMANS)
def test_messages_of_the_library_have_the_langchain_form_of_the_session(cache: SessionCache, form: str) -> None:
    """LangChain reads a list of one form only, so reports of children and summaries have the form of the others."""
    human = HUMANS[form]
    parent = cache.create()
    parent.append(human, human)
    parent.compact(1, "A summary.")
    parent.spawn("helper", task="x").raise_if_refused()
    end(cache, "helper")
    found = parent.context().payloads
    assert len(found) == 3
    assert {tuple(sorted(payload.keys() & {"lc", "data", "kwargs", "content"})) for payload in found} == {
        tuple(sorted(human.keys() & {"lc", "data", "kwargs", "content"}))
    }
    assert found[-1].get("id") in (None, human.get("id"))
    assert "[helper completed] done" in str(found[-1])


def test_import_takes_the_system_prompt_of_the_first_pydantic_ai_request(cache: SessionCache) -> None:
    """pydantic-ai writes system prompts into the first request, and a window without this request needs them, too."""
    prompts = [{"part_kind": "system-prompt", "content": text} for text in ("Be brief.", "Be kind.")]
    asked = {"kind": "request", "parts": [*prompts, {"part_kind": "user-prompt", "content": "q " * 50}]}
    answer = {"kind": "response", "parts": [{"part_kind": "text", "content": "a"}]}
    again = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "again"}]}
    session = cache.create()
    session.import_messages([asked, answer, again])
    assert session.info().system_prompt == "Be brief.\nBe kind."
    assert session.history()[0].payload["parts"] == asked["parts"][2:]
    window = session.context(max_tokens=12)
    assert window.truncated
    assert "Be brief." in str(window.payloads[0])


def test_import_does_not_replace_a_system_prompt(cache: SessionCache) -> None:
    """A session keeps its own system prompt, and takes messages that begin without one."""
    session = cache.create(system_prompt="MINE")
    user = {"role": "user", "content": "x"}
    with pytest.raises(StateConflict, match=r"'system_prompt' of session .* is set"):
        session.import_messages([{"role": "system", "content": "OLD"}, user])
    assert (session.info().system_prompt, session.history()) == ("MINE", [])
    session.import_messages([user])
    assert session.info().system_prompt == "MINE"


def line(whole: str, *blocks: Payload, role: str = "assistant") -> Payload:
    """Return a line of Claude Code with blocks of an API message."""
    own = {"id": whole} if whole else {}
    return {
        "type": role,
        "uuid": str(blocks),
        "sessionId": "s",
        "message": {**own, "role": role, "content": list(blocks)},
    }


THINKING = line("m1", {"type": "thinking", "thinking": "t", "signature": "sig"})
TEXT = line("m1", {"type": "text", "text": "Let me look. " * 30})
USES = [line("m1", {"type": "tool_use", "id": id, "name": "Read", "input": {}}) for id in "ab"]
RESULTS = [line("", {"type": "tool_result", "tool_use_id": id, "content": "x"}, role="user") for id in "ab"]
ASKED = line("", {"type": "text", "text": "q"}, role="user")


@pytest.mark.parametrize(
    "lines",
    [
        [THINKING, *USES, *RESULTS],
        [THINKING, TEXT, *USES, *RESULTS],
        [THINKING, TEXT, USES[0], RESULTS[0], USES[1], RESULTS[1]],
        [USES[0], RESULTS[0], TEXT, USES[1], RESULTS[1]],
    ],
)
def test_claude_code_lines_of_one_message_stay_together(cache: SessionCache, lines: list[Payload]) -> None:
    """The lines of one API message come first, then its results, whatever the budget is and in whatever order they came."""
    session = cache.create()
    for one in [ASKED, *lines]:
        session.append(one)
    made = [one for one in lines if one["type"] == "assistant"]
    for budget in (1, 50, 10_000):
        assert session.context(max_tokens=budget).payloads == [ASKED, *made, *RESULTS]
    answered = [payload["type"] for payload in session.context(abandoned="answer").payloads]
    assert answered == ["user", *["assistant"] * len(made), "user", "user"]


def test_compaction_keeps_claude_code_lines_of_one_message(cache: SessionCache) -> None:
    """A summary replaces whole API messages, so that calls keep their thinking."""
    session = cache.create()
    session.append(ASKED, line("m0", {"type": "text", "text": "a"}), ASKED, THINKING, TEXT, USES[0], RESULTS[0])
    session.compact(keep=2, summary="A summary.")
    assert [message.payload for message in session.history()][1:] == [THINKING, TEXT, USES[0], RESULTS[0]]
