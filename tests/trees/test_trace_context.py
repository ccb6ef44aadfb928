"""The trace context of a request reaches the worker that does the work."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import SessionCache
from redis_sessions._core.commands import inbox
from redis_sessions._core.commands.messages import append
from redis_sessions._core.protocol.ids import new_operation_id
from redis_sessions._core.protocol.token_estimate import estimate_tokens
from redis_sessions.errors import InvalidInput
from tests.trees.runs import claim_run

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def send(cache: SessionCache, id: str, text: Any, traceparent: str) -> None:
    """Send a message with a trace context."""
    queues, keys, bounds = cache._context.run_queues, cache._context.keys(id), cache._context.bounds

    def attempt(agent: str, queue: Any) -> Any:
        return cache._executor.run(
            inbox.send(
                keys, "", "", {"role": "user", "content": text}, estimate_tokens, new_operation_id(), agent, queue, bounds,
                knows_format=True, traceparent=traceparent,
            )
        )  # fmt: skip

    queues.send(keys, attempt)


def test_turn_has_trace_of_newest_request(cache: SessionCache) -> None:
    """The turn gets the trace of the message that opened it or came last, keeps it over a failure, and ends with it."""
    session = cache.create("s", answered_by="a")
    send(cache, "s", "1", TRACE)
    send(cache, "s", "2", OTHER)
    run = claim_run(cache)
    assert run.traceparent == OTHER
    run.release()
    run = claim_run(cache)
    assert run.traceparent == OTHER
    run.finish({"role": "assistant", "content": "x"})
    session.send("3")
    assert claim_run(cache).traceparent is None


def test_turn_of_what_waited_in_inbox_has_its_trace(cache: SessionCache) -> None:
    """A message that comes while a turn is handled opens the next turn with its trace."""
    cache.create("s", answered_by="a")
    send(cache, "s", "1", "")
    run = claim_run(cache)
    assert run.traceparent is None
    send(cache, "s", "2", TRACE)
    run.finish()
    assert claim_run(cache).traceparent == TRACE


def test_append_that_requests_turn_carries_trace(cache: SessionCache) -> None:
    """The trace of an append that asks for an answer is that of the turn."""
    session = cache.create("s", answered_by="a")
    keys, queues = cache._context.keys("s"), cache._context.run_queues
    call = append(
        keys, "", "", [{"role": "user", "content": "x"}], estimate_tokens, batch_id=None, expected_rev=None, seen=0,
        knows_format=True, usage=None, bounds=cache._context.bounds,
    )  # fmt: skip
    queues.send(
        keys, lambda agent, queue: cache._executor.run(inbox.append_and_request_turn(call, agent, queue, TRACE))
    )
    assert claim_run(cache).traceparent == TRACE
    assert session.info().work == "running"


def test_trace_survives_death_of_worker_export_and_import(cache: SessionCache) -> None:
    """Another worker gets the trace after a death, and so does the worker of an imported session."""
    cache.create("s", answered_by="a")
    send(cache, "s", "1", TRACE)
    run = claim_run(cache, ttl=0.2)
    assert run.held._renewer is not None
    run.held._renewer.stop()
    again = claim_run(cache)
    assert (again.has_died, again.traceparent) == (True, TRACE)
    again.release()
    lines = list(cache.session("s").export())
    cache.import_sessions(lines, on_conflict="replace")
    assert claim_run(cache).traceparent == TRACE


@pytest.mark.parametrize("wrong", ["x", TRACE + "0", TRACE[:-1], TRACE.replace("-", " "), "a b"])
def test_trace_of_another_form_is_refused(cache: SessionCache, wrong: str) -> None:
    """A trace context of another form is not stored."""
    cache.create("s", answered_by="a")
    with pytest.raises(InvalidInput, match="traceparent"):
        send(cache, "s", "1", wrong)
    assert cache.open("s").info().last_seq == 0
