"""Turns on every engine: who opens them, who answers them, what a failure does, and what the next turn sees."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    Message,
    Run,
    SessionCache,
    SessionLocked,
    SessionNotActive,
)
from redis_sessions._core.protocol.keys import agent_keys
from tests.support.lease_waiters import elsewhere
from tests.support.servers import await_true
from tests.trees.children import X, key_of
from tests.trees.runs import DEADLINE_SECONDS, abandon, claim_run
from tests.trees.workers import await_empty_queue, await_work_state, texts, working

ANSWER = {"role": "assistant", "content": "answer"}
OF_RESPONSES = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]}


def request_texts(run: Run) -> list[str]:
    """Return the texts of the messages that a turn is to answer."""
    return [str(message.content) for message in run.requests()]


def test_sent_message_is_handed_out_as_turn(cache: SessionCache) -> None:
    """A message to an answered session is a turn for its agent, and the end of the turn does not end the session."""
    session = cache.create("s", answered_by="a")
    assert session.info().work is None
    assert session.send("1").seq == 1
    found = session.info()
    assert (found.work, found.turn_seq, found.answered_by) == ("queued", 1, "a")
    assert cache.claim("b") is None
    run = claim_run(cache)
    assert (run.id, run.work, run.first_seq, run.task) == ("s", "turn", 1, None)
    assert (run.attempt, run.max_attempts, run.has_died) == (1, 3, False)
    assert request_texts(run) == ["1"]
    assert session.info().work == "running"
    with pytest.raises(SessionLocked):
        session.append(X)
    run.finish(ANSWER)
    with pytest.raises(LeaseLost):
        run.append(ANSWER)
    found = session.info()
    assert (found.status, found.work, found.turn_seq, found.lease) == ("active", None, None, None)
    assert texts(session) == ["1", "answer"]
    assert cache.claim("a") is None
    session.append(X)
    assert cache.claim("a") is None


def test_messages_of_meantime_make_one_next_turn(cache: SessionCache) -> None:
    """At most one turn of a session is handed out, and what came during it makes the next turn, in order."""
    session = cache.create(answered_by="a")
    session.send("1")
    session.send("2")
    run = claim_run(cache)
    assert request_texts(run) == ["1", "2"]
    for text in ("3", "4"):
        assert session.send(text).seq is None
        assert cache.claim("a") is None
    assert request_texts(run) == ["1", "2"]
    run.append({"role": "assistant", "content": "note"})
    run.finish(ANSWER)
    assert texts(session) == ["1", "2", "note", "answer", "3", "4"]
    run = claim_run(cache)
    assert (run.first_seq, run.attempt) == (5, 1)
    assert request_texts(run) == ["3", "4"]
    run.finish(ANSWER)
    assert cache.claim("a") is None


def test_received_messages_belong_to_present_turn(cache: SessionCache) -> None:
    """A turn that receives the inbox answers what it received, and no further turn follows."""
    session = cache.create(answered_by="a")
    session.send("1")
    run = claim_run(cache)
    session.send("2")
    assert [message.content for message in run.held.receive()] == ["2"]
    assert request_texts(run) == ["1", "2"]
    run.finish(ANSWER)
    assert session.info().work is None
    assert cache.claim("a") is None


def test_append_opens_turn_only_on_request(cache: SessionCache) -> None:
    """An append opens a turn when it asks for one, whatever its messages are, once for a batch ID."""
    session = cache.create(answered_by="a")
    session.append(X, ANSWER)
    assert session.info().work is None
    for _ in range(2):
        result = session.append({"role": "system", "content": "go on"}, batch_id="b", request_turn=True)
        assert (result.first_seq, result.last_seq) == (3, 3)
    run = claim_run(cache)
    assert run.first_seq == 3
    run.finish(ANSWER)
    assert session.append({"role": "system", "content": "go on"}, batch_id="b", request_turn=True).duplicate
    assert cache.claim("a") is None
    with session.lease(), pytest.raises(SessionLocked):
        elsewhere(lambda: session.append(X, request_turn=True))
    rev = session.info().rev
    session.append(X, request_turn=True, expected_rev=rev)
    assert session.info().work == "queued"


def test_request_that_a_limit_refuses_ends_the_session_with_its_tree(cache: SessionCache) -> None:
    """A limit that ends a session at a request for a turn ends its children, too, as it does at an append."""
    session = cache.create("s", answered_by="a", max_entries=1, limit_action="end_session")
    child = session.spawn("b").raise_if_refused().session_key
    session.append(X)
    with pytest.raises(LimitExceeded):
        session.append(X, request_turn=True)
    await_true(lambda: cache.session(str(child)).info().status == "cancelled")
    assert session.info().status != "active"


def test_assistant_message_opens_no_turn(cache: SessionCache) -> None:
    """A sent message that asks for no answer is appended, and stays without a turn."""
    session = cache.create(answered_by="a")
    session.send(ANSWER)
    session.send({"role": "system", "content": "note"})
    assert session.info().work is None
    session.send("1")
    assert claim_run(cache).first_seq == 3


def test_inbox_is_checked_at_the_end_of_the_lease(cache: SessionCache) -> None:
    """A message that waits for the end of a lease is checked then, although the session had a later check."""
    parent = cache.create(answered_by="a")
    child = cache.session(key_of(parent.spawn("a", mode="session", description={"answered_by": "a"}, ttl=3600)))
    child.send("1")
    claim_run(cache).finish(ANSWER)
    await_true(lambda: child.info().work is None)
    queue = agent_keys(cache.namespace, "a")
    with child.lease(ttl=5):
        elsewhere(lambda: child.send("2"))
        (reply,) = cache._context.executor._router.send(queue.tag, ("ZRANGE", queue.check_at, 0, -1, "WITHSCORES"))
        checks = {work.split()[0].decode(): float(score) for work, score in zip(reply[::2], reply[1::2], strict=True)}
        assert checks[child.id] / 1000 < time.time() + 60


def test_answering_agent_can_be_changed(cache: SessionCache) -> None:
    """A session that gets an agent is answered from then on, its open turn follows to another agent, and ends with none."""
    session = cache.create()
    session.send("1")
    session.patch(answered_by="a")
    assert session.info().work is None
    session.send("2")
    assert session.info().turn_seq == 2
    session.patch(answered_by="b")
    assert cache.claim("a") is None
    session.send("3")
    run = claim_run(cache, "b")
    assert request_texts(run) == ["2", "3"]
    run.finish(ANSWER)
    session.patch(answered_by=None)
    session.send("4")
    assert session.info().answered_by is None
    assert cache.claim("b") is None


def test_open_turn_ends_with_its_agent(cache: SessionCache) -> None:
    """A session that loses its agent has no open turn, so that no later agent answers what was sent to the former one."""
    session = cache.create(answered_by="a")
    session.send("1")
    session.request_cancel()
    session.patch(answered_by=None)
    assert (session.info().work, session.info().turn_seq, session.is_cancel_requested()) == (None, None, False)
    session.patch(answered_by="b")
    assert (session.info().work, cache.claim("a"), cache.claim("b")) == (None, None, None)
    session.send("2")
    run = claim_run(cache, "b")
    assert request_texts(run) == ["2"]
    run.patch(answered_by=None)
    run.finish(ANSWER)
    assert (texts(session), session.info().work, session.info().lease) == (["1", "2", "answer"], None, None)
    child = cache.session(key_of(session.spawn("a", task="t")))
    child.patch(answered_by=None)
    assert claim_run(cache).task == "t"


@pytest.mark.parametrize("place", [{}, {"priority": 0}, {"priority": 5}, {"fairness_key": "k"}], ids=str)
def test_turn_in_any_place_of_the_queue_survives_its_worker(cache: SessionCache, place: Any) -> None:
    """A turn whose worker died goes to another one, whatever its place in the queue is, although no message follows."""
    session = cache.create(answered_by="a", **place)
    session.send("1")
    dead = claim_run(cache, ttl=0.5)
    time.sleep(0.1)  # the queue hears of the claim
    abandon(dead)
    assert claim_run(cache).id == session.id


def test_turn_of_dead_worker_goes_to_another(cache: SessionCache) -> None:
    """A turn whose worker died is another worker's, with the messages of the meantime behind, and the dead one writes nothing."""
    session = cache.create(answered_by="a")
    session.send("1")
    dead = claim_run(cache, ttl=0.5, owner="w1")
    dead.append({"role": "assistant", "content": "half"})
    session.send("2")
    abandon(dead)
    run = claim_run(cache)
    assert (run.id, run.attempt, run.has_died) == (session.id, 2, True)
    assert request_texts(run) == ["1", "2"]
    with pytest.raises(LeaseLost):
        dead.finish(ANSWER)
    (attempt,) = session.info().attempts
    assert (attempt.outcome, attempt.worker) == ("died", "w1")
    run.finish(ANSWER)
    assert texts(session) == ["1", "half", "2", "answer"]
    assert session.info().attempts == []
    await_empty_queue(cache)


def fail_turn(cache: SessionCache) -> None:
    """Let a turn of agent `a` fail three times."""
    seen = []

    def handler(run: Run) -> None:
        seen.append(run.attempt)
        raise ValueError(f"no luck {run.attempt}")

    with working(cache, handler):
        await_true(lambda: len(seen) == 3, DEADLINE_SECONDS)
    assert seen == [1, 2, 3]


def test_failed_turn_is_tried_again_with_next_message(cache: SessionCache) -> None:
    """A turn that failed three times is shown as failed, and the next message opens it again with all its requests."""
    session = cache.create(answered_by="a")
    session.send("1")
    fail_turn(cache)
    found = session.info()
    assert (found.status, found.work, found.turn_seq) == ("active", "failed", 1)
    assert [one.error for one in found.attempts] == [f"ValueError: no luck {n}" for n in (1, 2, 3)]
    assert cache.claim("a") is None
    session.send("2")
    run = claim_run(cache)
    assert (run.attempt, request_texts(run)) == (1, ["1", "2"])
    run.finish(ANSWER)
    assert session.info().work is None


def test_retry_makes_failed_turn_available(cache: SessionCache) -> None:
    """A failed turn can be retried by hand. A turn that is open, or a session without one, is refused."""
    session = cache.create(answered_by="a")
    with pytest.raises(InvalidInput, match="retry"):
        session.retry()
    session.send("1")
    with pytest.raises(InvalidInput, match="retry"):
        session.retry()
    fail_turn(cache)
    session.retry()
    assert session.info().work == "queued"
    with claim_run(cache) as run:
        assert (run.attempt, request_texts(run)) == (1, ["1"])
        run.finish(ANSWER)


def test_paused_session_hands_out_no_turn(cache: SessionCache) -> None:
    """A turn of a paused session waits until the session is resumed, and is then claimed without another message."""
    session = cache.create(answered_by="a")
    session.send("1")
    session.pause()
    assert cache.claim("a") is None
    with pytest.raises(SessionNotActive):
        session.send("2")
    session.resume()
    run = claim_run(cache)
    session.pause()
    with pytest.raises(SessionNotActive):
        run.finish(ANSWER)
    session.resume()
    run.finish(ANSWER)
    assert texts(session) == ["1", "answer"]


def test_ended_session_hands_out_no_turn(cache: SessionCache) -> None:
    """The open turn of a session that was cancelled or deleted is not handed out, and its queue becomes empty."""
    cancelled, deleted = (cache.create(answered_by="a") for _ in range(2))
    for session in (cancelled, deleted):
        session.send("1")
    cancelled.cancel()
    deleted.delete()
    assert cache.claim("a") is None
    with pytest.raises(SessionNotActive):
        cancelled.send("2")
    with pytest.raises((InvalidTransition, InvalidInput, SessionNotActive)):
        cancelled.retry()
    await_empty_queue(cache)


def test_result_of_child_opens_turn(cache: SessionCache) -> None:
    """The result of a child is a request to the agent that answers its parent, whether the parent is free or at work."""
    session = cache.create(answered_by="a")
    for n in range(2):
        key_of(session.spawn("b", task=str(n)))
    claim_run(cache, "b").complete("r0")
    run = claim_run(cache)
    assert request_texts(run) == ["[b completed] r0"]
    claim_run(cache, "b").complete("r1")
    assert request_texts(run) == ["[b completed] r0"]
    run.finish(ANSWER)
    run = claim_run(cache)
    assert request_texts(run) == ["[b completed] r1"]
    run.finish(ANSWER)
    await_work_state(session, None)


def test_result_for_paused_session_opens_turn_at_resume(cache: SessionCache) -> None:
    """The result of a child that ended while its parent was paused is answered after the resume."""
    session = cache.create(answered_by="a")
    key_of(session.spawn("b"))
    session.pause()
    claim_run(cache, "b").complete("r")
    assert cache.claim("a") is None
    session.resume()
    assert request_texts(claim_run(cache)) == ["[b completed] r"]


def test_messages_of_inbox_and_of_finish_tell_their_format(cache: SessionCache) -> None:
    """The first message with a format stores it, also if the message waits in the inbox or finishes a turn."""
    queued = cache.create()
    with queued.lease():
        assert elsewhere(lambda: cache.session(queued.id).send(OF_RESPONSES)).waiting == 1
        assert queued.info().format == "openai_responses"
    assert queued.history()[0].payload == OF_RESPONSES
    answered = cache.create(answered_by="a")
    answered.send(Message("user", "q"))
    assert answered.info().format is None
    claim_run(cache).finish(Message("assistant", "plain"), OF_RESPONSES)
    assert answered.info().format == "openai_responses"


def test_child_can_be_answered_by_agent(cache: SessionCache) -> None:
    """A child in session mode can have turns, its own ends stay those of a child, and a run can have none."""
    parent = cache.create()
    child = cache.session(key_of(parent.spawn("x", mode="session", description={"answered_by": "a"})))
    child.send("1")
    run = claim_run(cache)
    assert (run.id, run.work) == (child.id, "turn")
    run.finish(ANSWER)
    child.send("2")
    claim_run(cache).complete("bye")
    assert parent.join(timeout=DEADLINE_SECONDS)[0].result == "bye"
    assert cache.claim("a") is None
    with pytest.raises(InvalidInput, match="answered_by"):
        parent.spawn("x", description={"answered_by": "a"})
    with pytest.raises(InvalidInput, match="answered_by"):
        cache.session(key_of(parent.spawn("x"))).patch(answered_by="a")


def test_turn_ends_with_its_answer_or_goes_on(cache: SessionCache) -> None:
    """An answer that a limit or a check refuses leaves the turn open, under its lease."""
    session = cache.create(answered_by="a", max_entries=2)
    session.send("1")
    run = claim_run(cache)
    with pytest.raises(LimitExceeded):
        run.finish(ANSWER, ANSWER)
    with pytest.raises(InvalidInput):
        run.finish({"role": "user", "content": b"x"})
    assert session.info().work == "running"
    run.finish(ANSWER)
    assert texts(session) == ["1", "answer"]


def test_finish_and_requests_are_for_turns(cache: SessionCache) -> None:
    """A run has neither requests nor an end that leaves its session open, and is still held after the refusals."""
    cache.create().spawn("a")
    run = claim_run(cache)
    with pytest.raises(InvalidInput, match=r"finish.*complete\(\) or fail\(\)"):
        run.finish()
    with pytest.raises(InvalidInput, match="requests"):
        run.requests()
    run.complete()


def test_given_back_turn_costs_no_attempt(cache: SessionCache) -> None:
    """A turn that is given back is handed out again as the same attempt, with a delay after it."""
    session = cache.create(answered_by="a")
    session.send("1")
    for _ in range(5):
        with claim_run(cache) as run:
            assert run.attempt == 1
    run = claim_run(cache)
    run.release(delay=0.4)
    assert session.info().work == "delayed"
    with pytest.raises(LeaseLost):
        run.append(ANSWER)
    assert cache.claim("a") is None
    assert claim_run(cache).attempt == 1


def test_worker_answers_sessions_and_runs_alike(cache: SessionCache) -> None:
    """A worker handles turns and runs of its agent, and a client waits for the reply to its message."""

    def handler(run: Run) -> Any:
        if run.work == "run":
            return f"did {run.task}"
        run.append({"role": "assistant", "content": " ".join(request_texts(run)).upper()})
        return "is no result"

    sessions = [cache.create(answered_by="a") for _ in range(3)]
    root = cache.create()
    with working(cache, handler, concurrency=2):
        sent = [(session, session.send(f"hello {n}")) for n, session in enumerate(sessions)]
        key_of(root.spawn("a", task="t"))
        for n, (session, result) in enumerate(sent):
            assert session.wait_for_reply(result, timeout=DEADLINE_SECONDS).content == f"HELLO {n}"
        assert root.join(timeout=DEADLINE_SECONDS)[0].result == "did t"
    assert [session.info().work for session in sessions] == [None] * 3
    assert [session.info().status for session in sessions] == ["active"] * 3


def test_threads_that_send_at_once_get_one_turn_each_time(cache: SessionCache) -> None:
    """Messages of six threads are each in the requests of exactly one turn, and turns never overlap."""
    session = cache.create(answered_by="a")
    seen: list[str] = []
    busy = threading.Lock()

    def handler(run: Run) -> None:
        assert busy.acquire(blocking=False)
        seen.extend(request_texts(run))
        busy.release()
        run.finish(ANSWER)

    def send(name: int) -> None:
        for n in range(5):
            cache.session(session.id).send(f"{name}.{n}")

    with working(cache, handler, concurrency=3):
        threads = [threading.Thread(target=send, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
        await_work_state(session, None)
    assert sorted(seen) == sorted(f"{name}.{n}" for name in range(6) for n in range(5))
    for name in range(6):
        assert [text for text in seen if text.startswith(f"{name}.")] == [f"{name}.{n}" for n in range(5)]


@pytest.mark.parametrize("given", [["a", "b"], "a:b", "", "a b", 3, "a" * 129])
def test_session_is_answered_by_one_agent(given: Any) -> None:
    """A session names one agent that answers it: several, or an ID that is not valid, are refused before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        with pytest.raises(InvalidInput, match="answered_by"):
            cache.create(answered_by=given)
        with pytest.raises(InvalidInput, match="answered_by"):
            cache.session("s").patch(answered_by=given)


def test_turn_that_is_requested_in_turn_is_refused(cache: SessionCache) -> None:
    """A handler cannot ask for a turn in its own turn, whose end answers what it appended. Nothing is appended then."""
    session = cache.create(answered_by="a")
    session.send("1")
    run = claim_run(cache)
    with pytest.raises(InvalidInput, match="request_turn"):
        run.append(X, request_turn=True)
    run.finish(ANSWER)
    assert texts(session) == ["1", "answer"]
    with session.lease() as lease:
        lease.session.append(X, request_turn=True)
    assert claim_run(cache).first_seq == 3


def test_message_that_limit_refused_is_answered_when_limit_is_raised(cache: SessionCache) -> None:
    """A message that waited in the inbox, and that a limit kept out at the end of the turn, is a turn after a patch."""
    session = cache.create(answered_by="a", max_entries=2)
    session.send("1")
    run = claim_run(cache)
    session.send("2")
    run.finish(ANSWER)
    assert cache.claim("a") is None
    assert session.info().inbox_size == 1
    session.patch(max_entries=10)
    assert request_texts(claim_run(cache)) == ["2"]


def test_turn_for_session_without_agent_is_refused(cache: SessionCache) -> None:
    """A turn that is requested in a session that no agent answers is refused, and nothing is appended."""
    session = cache.create()
    with pytest.raises(InvalidInput, match=r"request_turn.*answered_by"):
        session.append(X, request_turn=True)
    with pytest.raises(InvalidInput, match="request_turn"):
        session.append(X, request_turn=True, state={"x": 1})
    assert session.info().last_seq == 0
