"""Contents of the Gemini API: recognition, call IDs, thoughts, and merged neighbours."""

from __future__ import annotations

from typing import Any

import pytest

import redis_sessions.formats  # noqa: F401 registers the formats
from redis_sessions.formats.gemini import GeminiFormat
from redis_sessions.models.formats import Facts, recognise

GEMINI = GeminiFormat()
SIGNATURE = "c2lnbmF0dXJl"
IMAGE = {"inlineData": {"mimeType": "image/png", "data": "eA=="}}
THOUGHT = {"text": "Hm", "thought": True}


def text(value: str) -> dict[str, Any]:
    """Return a text part."""
    return {"text": value}


def call(name: str, id: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a part with a call."""
    return {"functionCall": {"name": name, "args": {}} | ({} if id is None else {"id": id}), **fields}


def response(name: str, id: Any = None, value: str = "1") -> dict[str, Any]:
    """Return a part with a result."""
    found = {"name": name, "response": {"output": value}}
    return {"functionResponse": found if id is None else {"id": id, **found}}


def model(*parts: Any) -> dict[str, Any]:
    """Return a content of the model."""
    return {"role": "model", "parts": list(parts)}


def pairing(payload: dict[str, Any]) -> Facts | None:
    """Return the facts of a payload without the tools."""
    found = GEMINI.facts(payload)
    return found and found._replace(tools=())


def user(*parts: Any) -> dict[str, Any]:
    """Return a content of the user."""
    return {"role": "user", "parts": list(parts)}


def all_but(*ids: str) -> Any:
    """Return a function that keeps every ID except some."""
    return lambda id: id not in ids


def everything(_: str) -> bool:
    """Keep every ID."""
    return True


@pytest.mark.parametrize(
    ("payload", "facts"),
    [
        (user(text("hi")), Facts("user_message")),
        ({"parts": [text("hi")]}, Facts("user_message")),
        ({"parts": [call("f")]}, Facts("assistant_message", ("f",))),
        (model(text("hi")), Facts("assistant_message")),
        ({"role": "system", "parts": [text("Be brief")]}, Facts("system_message")),
        (model(text("Let me see"), call("f", "1"), call("g")), Facts("assistant_message", ("1", "g"))),
        (user(response("f", "1"), response("g")), Facts("tool_message", (), ("1", "g"))),
        ({"role": "function", "parts": [response("f")]}, Facts("tool_message", (), ("f",))),
        (user(response("f"), text("and now?")), Facts("user_message", (), ("f",))),
        (user(response("f"), text("")), Facts("tool_message", (), ("f",))),
        (user(response("f"), IMAGE), Facts("user_message", (), ("f",))),
        (model(THOUGHT, call("f")), Facts("assistant_message", ("f",))),
        (model(THOUGHT), Facts("reasoning", binds_next=True)),
        (user(), Facts("user_message")),
    ],
)
def test_content_gives_facts_of_its_parts(payload: dict[str, Any], facts: Facts) -> None:
    """The kind follows from the role and the parts, and each call and result has an ID."""
    found, _ = recognise(payload)
    assert found is not None
    assert (found.name, pairing(payload)) == ("gemini", facts)


def test_facts_name_the_tools_of_results_and_of_calls_with_ids() -> None:
    """The names are numbered as calls without IDs are, so that either side can lack the ID."""
    called, answered = GEMINI.facts(model(call("f", "1"), call("f", "2"), call("g"))), GEMINI.facts(user(response("f")))
    assert called is not None
    assert answered is not None
    assert called.tools == (("1", "f"), ("2", "f/2"))
    assert answered.tools == (("f", "f"),)


def test_snake_case_gives_same_facts_as_camel_case() -> None:
    """The Python SDK dumps snake_case, with null for each field that is not set."""
    nulls = {"text": None, "function_response": None, "inline_data": None, "thought": None}
    called = {"role": "model", "parts": [{**nulls, "function_call": {"id": None, "name": "f", "args": {}}}]}
    answer = {"role": "user", "parts": [{"text": None, "function_response": {"id": None, "name": "f", "response": {}}}]}
    assert pairing(called) == Facts("assistant_message", ("f",))
    assert pairing(answer) == Facts("tool_message", (), ("f",))


def test_second_call_of_one_function_without_id_gets_number() -> None:
    """Parallel calls of one function differ although the API gives them no IDs."""
    assert pairing(model(call("f"), call("f"), call("g"), call("f"))) == Facts(
        "assistant_message", ("f", "f/2", "g", "f/3")
    )
    assert pairing(user(response("f"), response("f"))) == Facts("tool_message", (), ("f", "f/2"))


def test_part_that_server_completes_opens_nothing() -> None:
    """Code that Gemini ran, and tools that Gemini ran, need no result from the caller."""
    code = {"executableCode": {"code": "1", "language": "PYTHON"}}
    output = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}
    search = {"toolCall": {"id": "s", "toolType": "GOOGLE_SEARCH"}}
    found = {"toolResponse": {"id": "s", "response": {}}}
    assert pairing(model(code, output, search, found, text("1"))) == Facts("assistant_message")


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"role": "user", "content": "hi"},
        {"role": "user", "parts": "hi"},
        {"role": 1, "parts": [text("hi")]},
        {"role": "agent", "parts": [text("hi")]},
        {"role": "user", "parts": [{"kind": "text", "text": "hi"}]},
        {"role": "user", "id": "m", "parts": [{"type": "text", "text": "hi"}]},
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "hi"}]},
        {"role": "user", "parts": ["hi"]},
        {"parts": []},
    ],
)
def test_payload_of_another_format_gives_no_facts(payload: dict[str, Any]) -> None:
    """A payload without Gemini's parts is left to the other formats."""
    assert GEMINI.facts(payload) is None


@pytest.mark.parametrize(
    "part",
    [
        {"functionCall": "f"},
        {"functionCall": {}},
        {"functionCall": {"name": None, "id": ""}},
        {"functionResponse": ["f"]},
        {"functionResponse": None, "text": 1},
    ],
)
def test_broken_part_is_ignored(part: dict[str, Any]) -> None:
    """A call or result that nothing can match has no ID, and stays where it is."""
    payload = model(part, call("f", 7), None, "x", [])
    assert pairing(payload) == Facts("assistant_message", ("7",))
    left = GEMINI.keep(payload, all_but("7"), everything)
    assert left is None or call("f", 7) not in left["parts"]
    assert GEMINI.text(payload) == ""


def test_text_leaves_out_thoughts_and_calls() -> None:
    """A person reads the text parts, one a line."""
    assert GEMINI.text(model(THOUGHT, text("One"), call("f"), text("two"))) == "One\ntwo"
    assert GEMINI.text({"parts": None}) == ""


def test_payload_stays_same_object_if_everything_is_kept() -> None:
    """A message without removed parts is not copied."""
    for payload in (model(call("f")), user(response("f")), model(THOUGHT), user(text("hi"))):
        assert GEMINI.keep(payload, everything, everything) is payload


def test_message_with_only_removed_call_is_gone() -> None:
    """Neither thoughts nor empty text may stand alone."""
    assert GEMINI.keep(model(THOUGHT, call("f")), all_but("f"), everything) is None
    assert GEMINI.keep(model(text(""), call("f")), all_but("f"), everything) is None
    assert GEMINI.keep(user(response("f")), everything, all_but("f")) is None


def test_text_next_to_removed_call_or_result_remains() -> None:
    """Only the call or the result leaves a message that has text, too."""
    assert GEMINI.keep(model(text("Hi"), call("f")), all_but("f"), everything) == model(text("Hi"))
    assert GEMINI.keep(user(response("f"), text("Hi")), everything, all_but("f")) == user(text("Hi"))


def test_thought_leaves_with_call_that_follows_it() -> None:
    """A thought remains only if a part that it led to remains."""
    other = {"text": "Other", "thought": True, "thoughtSignature": SIGNATURE}
    payload = model(THOUGHT, call("f"), other, call("g"))
    assert GEMINI.keep(payload, all_but("f"), everything) == model(other, call("g"))
    assert GEMINI.keep(payload, all_but("g"), everything) == model(THOUGHT, call("f"))
    assert GEMINI.keep(model(THOUGHT, call("f"), call("g")), all_but("f"), everything) == model(THOUGHT, call("g"))


def test_signature_stays_with_its_call() -> None:
    """A removed call takes its signature with it, and the first call left gets the value that skips the check."""
    payload = model(call("f", thoughtSignature=SIGNATURE), call("g"))
    assert GEMINI.keep(payload, all_but("g"), everything) == model(call("f", thoughtSignature=SIGNATURE))
    skipped = call("g", thoughtSignature="skip_thought_signature_validator")
    assert GEMINI.keep(payload, all_but("f"), everything) == model(skipped)
    signed = model(call("f", thoughtSignature=SIGNATURE), call("g", thoughtSignature="Zw=="))
    assert GEMINI.keep(signed, all_but("f"), everything) == model(call("g", thoughtSignature="Zw=="))


def test_neighbours_of_one_role_are_merged_with_results_first() -> None:
    """The content behind a call holds all results before any text."""
    payloads = [
        user(text("a")),
        user(text("b")),
        model(text("c"), call("f", "1")),
        model(call("g", "2")),
        {"role": "function", "parts": [response("g", "2")]},
        user(text("d")),
        user(response("f", "1"), text("e")),
        model(text("f")),
    ]
    assert GEMINI.join(payloads) == [
        user(text("a"), text("b")),
        model(text("c"), call("f", "1"), call("g", "2")),
        user(response("f", "1"), response("g", "2"), text("d"), text("e")),
        model(text("f")),
    ]


def test_join_leaves_valid_payloads_and_other_formats_alone() -> None:
    """A payload of another format separates neighbours, and nothing is copied without need."""
    payloads = [
        {"role": "user", "content": "plain"},
        user(text("a")),
        model(call("f")),
        {"role": "function", "parts": [response("f")]},
        {"role": "user", "content": "plain"},
        user(text("b")),
    ]
    joined = GEMINI.join(payloads)
    assert len(joined) == len(payloads)
    assert all(one is other for one, other in zip(joined, payloads, strict=True))


def test_results_of_calls_without_ids_stand_in_order_of_calls() -> None:
    """Gemini matches results without IDs by their place, so that an ID made of name and number is not sent."""
    payloads = [
        model(call("f"), call("f")),
        GEMINI.call_result("f/2", "f", "second"),
        GEMINI.call_result("f", "f", "first"),
    ]
    closed = [facts.closes for facts in map(GEMINI.facts, payloads[1:]) if facts]
    assert closed == [("f/2",), ("f",)]
    assert GEMINI.join(payloads)[1] == user(response("f", value="first"), response("f", value="second"))


def test_results_match_calls_that_are_left_after_removal() -> None:
    """The numbers of calls change if a call before them is removed, but their order does not."""
    called = GEMINI.keep(model(call("f"), call("f"), call("f")), all_but("f"), everything)
    assert called is not None
    late, early = GEMINI.call_result("f/3", "f", "third"), GEMINI.call_result("f/2", "f", "second")
    assert GEMINI.join([called, late, early])[1] == user(response("f", value="second"), response("f", value="third"))


def test_id_with_slash_that_call_has_itself_is_sent() -> None:
    """An ID of the model's own is never removed."""
    payloads = [model(call("f", "f/2")), user(response("f", "f/2"))]
    assert GEMINI.join(payloads) == payloads


def test_messages_of_library_have_gemini_shape() -> None:
    """A user message and a result are contents whose facts are as expected."""
    assert GEMINI.user_message("Hi") == user(text("Hi"))
    assert GEMINI.call_result("1", "f", "done") == user(response("f", "1", "done"))
    assert pairing(GEMINI.call_result("1", "f", "done")) == Facts("tool_message", (), ("1",))
    assert GEMINI.call_result("f", "f", "done") == user(response("f", value="done"))


def test_answer_names_function_and_has_id_of_its_call() -> None:
    """A synthetic result names the function of its call, and has an ID only if the call has one."""
    payload = model(THOUGHT, call("f", "1"), call("g"), call("h", "h"))
    assert GEMINI.answer(payload, "1", "none") == user(response("f", "1", "none"))
    assert GEMINI.answer(payload, "g", "none") == user(response("g", value="none"))
    assert GEMINI.answer(payload, "h", "none") == user(response("h", "h", "none"))


def test_answer_has_the_spelling_of_its_call() -> None:
    """A call in snake_case gets a result in snake_case."""
    payload = model({"function_call": {"name": "f", "args": {}}})
    assert GEMINI.answer(payload, "f", "none") == user(
        {"function_response": response("f", value="none")["functionResponse"]}
    )


def test_answers_of_calls_without_ids_stand_in_order_of_calls() -> None:
    """The numbers of calls without IDs put the results in their places, and the API does not get them."""
    payload = model(call("f"), call("f"), call("f"))
    answers = [GEMINI.answer(payload, id, id) for id in ("f", "f/3")]
    assert [facts.closes for facts in map(GEMINI.facts, answers) if facts] == [("f",), ("f/3",)]
    joined = GEMINI.join([payload, GEMINI.call_result("f/2", "f", "done"), *answers])
    assert joined[1] == user(*(response("f", value=value) for value in ("f", "done", "f/3")))


@pytest.mark.parametrize("payload", [{}, {"parts": "x"}, model(None, {"functionCall": []}), model(call("g", "1"))])
def test_answer_of_unknown_call_takes_id_as_name(payload: dict[str, Any]) -> None:
    """A payload that does not make the call gives no error."""
    assert GEMINI.answer(payload, "f", "none") == user(response("f", value="none"))
