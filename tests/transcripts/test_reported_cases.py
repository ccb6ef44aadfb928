"""Failures that users of other systems reported, each with the right value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import (
    CompactionConflict,
    InvalidInput,
    InvalidState,
    Message,
    Session,
    SessionCache,
    SessionRegressed,
)
from redis_sessions._core.protocol.keys import session_keys
from tests.support.servers import Server

Payload = dict[str, Any]


def user(text: str) -> Payload:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Payload:
    """Return an assistant message."""
    return {"role": "assistant", "content": text}


def call(*ids: str, arguments: str = "{}") -> Payload:
    """Return an assistant message that makes tool calls."""
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(id: str, text: str = "done") -> Payload:
    """Return the result of a tool call."""
    return {"role": "tool", "tool_call_id": id, "content": text}


def function_call(id: str) -> Payload:
    """Return a call as an item of the Responses API."""
    return {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"}


def function_output(id: str, text: str = "done") -> Payload:
    """Return a result as an item of the Responses API."""
    return {"type": "function_call_output", "call_id": id, "output": text}


def payloads(session: Session) -> list[Payload]:
    """Return the payloads of the history."""
    return [message.payload for message in session.history()]


@pytest.mark.parametrize(
    ("calls", "results", "answer"),
    [
        (
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
            {"role": "model", "parts": [{"text": "done"}]},
        ),
        (
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "x"}]}}]},
            {"role": "assistant", "content": [{"text": "done"}]},
        ),
    ],
    ids=["gemini", "bedrock"],
)
def test_result_in_a_user_message_leaves_with_its_call(
    cache: SessionCache, calls: Payload, results: Payload, answer: Payload
) -> None:
    """A functionResponse or toolResult is a tool message, opens no turn, and leaves with its call."""
    session = cache.create(max_messages=2)
    session.append(calls, results)
    assert [message.role for message in session.history()] == ["assistant", "tool"]
    session.append(answer)
    assert payloads(session) == [answer]
    assert session.info().user_messages == 0
    assert Message("tool", payload=results).role == "tool"


def test_window_begins_with_whole_group(cache: SessionCache) -> None:
    """A budget that ends inside a call and its result leaves both out."""
    session = cache.create()
    session.append(user("q" * 40), call("a"), result("a", "r" * 40), assistant("ok"))
    for budget in range(1, 60):
        window = session.context(budget)
        assert window.payloads[-1] == assistant("ok")
        assert window.payloads[0].get("role") != "tool"
        assert window.truncated == (len(window) < 4)


def test_reasoning_leaves_with_the_item_that_follows(cache: SessionCache) -> None:
    """The cap drops a reasoning item, the call that it belongs to, and the output together."""
    session = cache.create(max_messages=4)
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    session.append(user("1"), reasoning, function_call("a"), function_output("a"), assistant("2"), user("3"))
    assert payloads(session) == [assistant("2"), user("3")]


def test_parallel_calls_leave_as_one_group(cache: SessionCache) -> None:
    """The cap drops parallel calls and their outputs together, and keeps the task of the turn."""
    session = cache.create(max_messages=4)
    session.append(
        user("1"), function_call("a"), function_call("b"), function_output("a"), function_output("b"), assistant("2")
    )
    assert payloads(session) == [user("1"), assistant("2")]


def test_interleaved_user_leaves_no_orphan(cache: SessionCache) -> None:
    """A user message between a call and its result does not part them when the cap drops the call."""
    session = cache.create(max_messages=3)
    session.append(call("c"), user("wait"), result("c"), assistant("ok"))
    assert [one for one in session.context().payloads if one["role"] == "tool"] == []
    assert payloads(session)[-1] == assistant("ok")


def test_child_result_does_not_part_call_and_result(cache: SessionCache) -> None:
    """The message of a child that ends between a call and its result stands behind the result in the window."""
    session = cache.create()
    session.append(user("go"), call("spawn"))
    child = cache.session(session.spawn("helper").session_key or "")
    child.complete("found")
    session.append(result("spawn"))
    assert [one["role"] for one in session.context().payloads] == ["user", "assistant", "tool", "user"]


def test_open_call_is_not_copied_into_a_fork(cache: SessionCache) -> None:
    """A child that is forked during the call that spawns it does not get this call."""
    session = cache.create()
    session.append(user("go"), call("spawn"))
    child = cache.session(session.spawn("helper", context="fork").session_key or "")
    assert payloads(child) == [user("go")]
    assert payloads(session.fork()) == [user("go")]


@pytest.mark.parametrize(
    "payload",
    [
        call("a", arguments="x" * 40_000),
        function_output("a", "x" * 40_000),
        {"role": "model", "parts": [{"text": "x" * 40_000}]},
        {"type": "ai", "data": {"content": "x" * 40_000}},
    ],
    ids=["tool_calls", "output", "parts", "data"],
)
def test_tokens_count_the_whole_payload(cache: SessionCache, payload: Payload) -> None:
    """40 KB anywhere in a payload are about 10,000 tokens."""
    session = cache.create()
    session.append(payload)
    assert 9_900 <= session.info().tokens <= 10_500


def test_image_costs_a_flat_number(cache: SessionCache) -> None:
    """A data URL of 40 KB costs the tokens of an image, so the window contains the message."""
    session = cache.create()
    url = "data:image/png;base64," + "iVBORw0K" * 5_000
    session.append({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})
    assert session.info().tokens < 1_200
    assert len(session.context(4_000)) == 1


def test_newest_message_above_the_budget_is_in_the_window(cache: SessionCache) -> None:
    """A window contains the newest message even if it alone exceeds the budget, and says so."""
    session = cache.create()
    session.append(user("a"), user("x" * 40_000))
    window = session.context(100)
    assert (len(window), window.over_budget, window.truncated) == (1, True, True)


def test_compaction_inside_a_group_names_the_nearest_seqs(cache: SessionCache) -> None:
    """A range that ends between calls and results is refused with the nearest seqs that are allowed."""
    session = cache.create()
    session.append(user("1"), function_call("a"), function_call("b"), function_output("a"), function_output("b"))
    with pytest.raises(CompactionConflict) as refusal:
        session.compact(2, "S")
    assert (refusal.value.before, refusal.value.after) == (1, 5)
    session.append(call("open"))
    with pytest.raises(CompactionConflict) as refusal:
        session.compact(6, "S")
    assert (refusal.value.before, refusal.value.after) == (5, 0)


def test_summary_stays_until_the_next_compaction(cache: SessionCache) -> None:
    """The cap never drops a summary. The next compaction replaces the summary."""
    session = cache.create(max_messages=4)
    session.append(*[user(str(number)) for number in range(4)])
    session.compact(3, "S")
    session.append(*[user(str(number)) for number in range(4, 9)])
    assert [one["content"] for one in payloads(session)] == ["S", "6", "7", "8"]
    session.compact(session.history()[-2].seq, "T")
    assert [one["content"] for one in payloads(session)] == ["T", "8"]


@pytest.mark.parametrize("pinned", [2, 3])
def test_pin_keeps_the_whole_group(cache: SessionCache, pinned: int) -> None:
    """A pin of a call or of its result keeps both."""
    session = cache.create(max_messages=6)
    session.append(user("1"), call("a"), result("a"), assistant("2"))
    session.pin(pinned)
    session.append(*[user(str(number)) for number in range(9)])
    assert payloads(session)[:2] == [call("a"), result("a")]
    assert len(session.history()) == 6


def test_history_without_tools_keeps_all_text(cache: SessionCache) -> None:
    """No call and no result is in a history without tools, and all text of users and models is."""
    session = cache.create()
    tool_use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    tool_result = {"type": "tool_result", "tool_use_id": "t", "content": "x"}
    text = {"type": "text", "text": "and this"}
    session.append(
        user("1"), call("a"), result("a"), {"role": "assistant", "content": [text, tool_use]},
        {"role": "user", "content": [tool_result, text]},
    )  # fmt: skip
    found = [one.payload for one in session.history(include_tools=False)]
    assert found == [user("1"), {"role": "assistant", "content": [text]}, {"role": "user", "content": [text]}]
    assert len(session.history(2, include_tools=False)) == 2


def test_batch_of_orphaned_results_is_not_dropped(cache: SessionCache) -> None:
    """Results without a call are stored, marked as late, and in no window."""
    session = cache.create(max_messages=10)
    orphan = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}
    session.append(*[orphan] * 10)
    assert session.info().count == 10
    assert all(message.is_late for message in session.history())
    assert session.context().payloads == []


def test_regenerate_edit_and_undo_are_atomic(cache: SessionCache) -> None:
    """An answer is regenerated, a question is edited, and the last message is removed, without `clear`."""
    session = cache.create()
    session.append(user("q"), assistant("bad"))
    session.replace(assistant("good"), after_seq=1)
    assert payloads(session) == [user("q"), assistant("good")]
    session.replace(user("better q"), after_seq=0)
    assert payloads(session) == [user("better q")]
    removed = session.pop()
    assert ([one.payload for one in removed], payloads(session)) == ([user("better q")], [])
    assert session.pop() == []
    assert session.append(user("next")).first_seq == 5


def test_same_message_id_is_stored_once_as_batch_id(cache: SessionCache) -> None:
    """A caller that gives the message's ID as batch ID stores the message once."""
    session = cache.create()
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}
    session.append(message, batch_id="m1")
    assert session.append(message, batch_id="m1").duplicate
    assert session.info().count == 1


def test_bytes_in_a_payload_are_refused_with_their_path(cache: SessionCache) -> None:
    """Bytes inside a payload are refused with the path to them, and nothing is written."""
    session = cache.create()
    with pytest.raises(InvalidInput, match=r"message\.content\[0\]\.data"):
        session.append({"role": "user", "content": [{"type": "x", "data": b"\xff"}]})
    assert session.info().count == 0


def test_messages_of_another_store_are_imported_in_one_call(cache: SessionCache) -> None:
    """A list of chat messages becomes a session: its system message is the system prompt, the payloads stay."""
    session = cache.create()
    listed = [{"role": "system", "content": "Be brief."}, {"id": "1", "created_at": 7, **user("a")}, assistant("b")]
    session.import_messages(listed)
    assert session.info().system_prompt == "Be brief."
    assert payloads(session) == listed[1:]
    assert session.context().payloads == [listed[0], *listed[1:]]


def test_system_messages_of_the_transcript_are_kept_by_choice(cache: SessionCache) -> None:
    """A window contains system messages of the transcript only if the caller asks for them."""
    session = cache.create()
    session.append({"role": "system", "content": "rule"}, user("a"))
    assert session.context().payloads == [user("a")]
    assert len(session.context(system="keep")) == 2


def test_usage_of_the_api_corrects_the_estimate(cache: SessionCache) -> None:
    """The output tokens of an API response count the answer that is appended with them."""
    session = cache.create()
    session.append(user("a"), assistant("b"), usage={"prompt_tokens": 900, "completion_tokens": 77})
    assert [message.tokens for message in session.history()] == [1, 77]
    with pytest.raises(InvalidInput, match="usage"):
        session.append(assistant("b"), usage={"cost": 1})


def test_system_message_joins_the_prompt_of_a_vendor_without_them(cache: SessionCache) -> None:
    """A vendor that takes no system messages gets those of the transcript as part of the system prompt."""
    session = cache.create(system_prompt="Be brief.", format="anthropic")
    session.append({"role": "system", "content": "No slang."}, user("a"))
    window = session.context(system="keep")
    assert (window.system, window.payloads) == ("Be brief.\n\nNo slang.", [user("a")])


def test_damaged_message_is_named_or_skipped(server: Server, namespace: str) -> None:
    """A message that cannot be decoded is an error that names its seq, and a caller can skip it."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create()
        session.append(user("a"), user("b"), user("c"))
        server.client.lset(session_keys(namespace, session.id).messages, 1, "8V`R-!!0u@1 b {")
        reads: list[Callable[[], Any]] = [session.history, session.context, lambda: session.history(role="user")]
        for read in reads:
            with pytest.raises(InvalidState, match="message with seq 2"):
                read()
        assert [one.text for one in session.history(skip_damaged=True)] == ["a", "c"]
        assert [one.text for one in session.history(role="user", skip_damaged=True)] == ["a", "c"]
    server.client.flushall()


def test_history_of_many_pages_is_of_one_moment(server: Server, namespace: str) -> None:
    """A history of more than one page has no gap and no dropped message while others append to a session at its cap."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create(max_messages=2500)
        for first in (0, 1250):
            session.append(*[user(str(number)) for number in range(first, first + 1250)])
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                session.append(user("x"), user("y"))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(5):
                seqs = [message.seq for message in session.history()]
                assert seqs == list(range(seqs[0], seqs[0] + 2500))
        finally:
            stop.set()
            writer.join()
    server.client.flushall()


def test_pin_reaches_every_result_without_a_cap(cache: SessionCache) -> None:
    """All results of a pinned call are pinned in a session without a cap, whichever append brings them."""
    session = cache.create(max_messages=None)
    session.append(Message(payload=call("a", "b"), pinned=True))
    session.append(result("a"))
    session.append(result("b"))
    assert [message.pinned for message in session.history()] == [True, True, True]


def test_fork_without_messages_has_no_pins(cache: SessionCache) -> None:
    """A fork that ends before a pinned call has room for all the pins that its cap allows."""
    session = cache.create(max_messages=2)
    session.append(Message(payload=call("a"), pinned=True))
    fork = session.fork()
    assert fork.history() == []
    fork.append(Message("user", "x", pinned=True))


def test_append_with_state_notices_lost_messages(server: Server, namespace: str) -> None:
    """An append with state is refused like any append when the server lost messages that the handle knows."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create()
        session.append(user("a"), user("b"))
        session._seen = 9
        with pytest.raises(SessionRegressed):
            session.append(user("c"), state={"k": 1})
        assert dict(session.state) == {}
    server.client.flushall()


@pytest.mark.parametrize("format", ["anthropic", "bedrock", "claude_code"])
def test_results_of_several_calls_stay_without_those_of_lost_calls(cache: SessionCache, format: str) -> None:
    """Of a message with five results, those of two calls in two messages stay, and those of calls that are not there leave."""

    def use(id: str) -> Payload:
        if format == "bedrock":
            return {"role": "assistant", "content": [{"toolUse": {"toolUseId": id, "name": "f", "input": {}}}]}
        message = {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]}
        return message if format == "anthropic" else {"type": "assistant", "uuid": id, "message": message}

    def results(*ids: str) -> Payload:
        if format == "bedrock":
            blocks = [{"toolResult": {"toolUseId": id, "content": [{"text": "done"}]}} for id in ids]
            return {"role": "user", "content": blocks}
        message = {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": id, "content": "x"} for id in ids],
        }
        return message if format == "anthropic" else {"type": "user", "uuid": "r", "message": message}

    session = cache.create()
    session.append(user("Go") if format != "claude_code" else {"type": "user", "uuid": "u", "message": user("Go")})
    session.append(use("call_3"), use("call_29"))
    session.append(results("call_3", "call_21", "call_29", "call_23", "call_25"))
    found = session.context(max_tokens=10_000, format=format).payloads
    assert found[1:] == [use("call_3"), results("call_3"), use("call_29"), results("call_29")]
