"""Processes that die between any two commands of a send, a release, a claim or an end: no message stays unanswered."""

from __future__ import annotations

import time

import pytest

from redis_sessions import Session, SessionCache
from redis_sessions._core.protocol.work import Work
from tests.leases.dead_holders import stop_renewing
from tests.support.lease_waiters import elsewhere
from tests.support.servers import await_true
from tests.trees.children import key_of
from tests.trees.runs import DEADLINE_SECONDS, abandon, claim_run
from tests.trees.workers import await_empty_queue, kill_background_work, texts

ANSWER = {"role": "assistant", "content": "answer"}


def short_reservations(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a dead sender reserved in a cluster become visible after a second."""
    cache._context.run_queues._reserved_ms = 1000
    monkeypatch.setattr("redis_sessions._sync.services.run_queues._RESERVED_CHECK_MS", 500)


def never_tell_queue(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process die before it tells a queue what it found in a session."""
    monkeypatch.setattr(cache._context.run_queues, "_apply_verdict", lambda *_, **__: None)


def answer_all(cache: SessionCache, session: Session) -> list[str]:
    """Answer turns until none is left. Return what each was asked."""
    asked: list[str] = []
    while (run := cache.claim("a", wait=0 if asked else DEADLINE_SECONDS)) is not None:
        asked.append(" ".join(str(message.content) for message in run.requests()))
        run.finish(ANSWER)
    return asked


@pytest.mark.parametrize("crash", ["reserve", "send", "ask", "claim", "finish"])
def test_sent_message_is_answered_after_crash(cache: SessionCache, crash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is answered once, whichever command was the last of its sender or of the worker."""
    session = cache.create(answered_by="a")
    session.send("0")
    assert answer_all(cache, session) == ["0"]
    short_reservations(cache, monkeypatch)
    kill_background_work(monkeypatch)
    queues = cache._context.run_queues
    if crash == "reserve":
        queues.update("a", Work(session.id, ()), "reserve", 500, "after", 500)
    session.send("1")
    if crash == "ask":
        await_true(lambda: queues.dequeue("a", "dead", 0).reserved != "", DEADLINE_SECONDS)
    if crash in ("claim", "finish"):
        run = claim_run(cache, ttl=0.5)
        abandon(run)
        if crash == "finish":
            with monkeypatch.context() as patch:
                never_tell_queue(cache, patch)
                run.finish(ANSWER)
    monkeypatch.undo()
    if crash != "finish":
        assert answer_all(cache, session) == ["1"]
    assert texts(session) == ["0", "answer", "1", "answer"]
    await_empty_queue(cache)


@pytest.mark.parametrize("crash", ["sender", "worker", "both"])
def test_message_of_inbox_is_answered_after_crash(
    cache: SessionCache, crash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that waits while a turn is at work is the next turn, though its sender, the worker, or both died."""
    session = cache.create(answered_by="a")
    session.send("1")
    run = claim_run(cache, ttl=0.5 if crash != "sender" else 30)
    short_reservations(cache, monkeypatch)
    if crash != "worker":
        kill_background_work(monkeypatch)
    assert session.send("2").seq is None
    if crash == "sender":
        with monkeypatch.context() as patch:
            never_tell_queue(cache, patch)
            run.finish(ANSWER)
    else:
        abandon(run)
    monkeypatch.undo()
    assert answer_all(cache, session) == (["2"] if crash == "sender" else ["1 2"])
    assert session.info().inbox_size == 0
    await_empty_queue(cache)


@pytest.mark.parametrize("crash", ["holder", "release"])
def test_message_sent_under_plain_lease_is_answered_after_crash(
    cache: SessionCache, crash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that waited for a plain lease is a turn once the lease is over, though its holder and its sender died."""
    session = cache.create(answered_by="a")
    lease = session.lease(ttl=0.6)
    elsewhere(lease.acquire)
    kill_background_work(monkeypatch)
    assert session.send("1").seq is None
    if crash == "release":
        lease.release()
    else:
        stop_renewing(lease)
    monkeypatch.undo()
    assert answer_all(cache, session) == ["1"]
    await_empty_queue(cache)


def test_result_of_child_is_answered_after_crash(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of a child is a turn of its parent, though the process that ended the child died at once."""
    session = cache.create(answered_by="a")
    session.spawn("b")
    run = claim_run(cache, "b", ttl=0.5)
    time.sleep(0.1)  # the queue hears of the claim
    kill_background_work(monkeypatch)
    abandon(run)
    run.complete("r")
    monkeypatch.undo()
    time.sleep(0.5)
    await_true(lambda: cache.recover("b") > 0, DEADLINE_SECONDS)
    assert answer_all(cache, session) == ["[b completed] r"]


@pytest.mark.parametrize("engine", ["path", "cluster"], indirect=True)
def test_parent_is_resumed_after_crash(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parked run goes on though the process that ended its child died at once."""
    root = cache.create()
    parent = cache.session(key_of(root.spawn("a")))
    run = claim_run(cache)
    run.can_park = True
    child = key_of(run.spawn("b"))
    with pytest.raises(BaseException, match="waits for") as parked:
        run.wait_for(timeout=3)
    run._park(parked.value)  # type: ignore[arg-type]
    assert parent.info().work == "parked"
    kill_background_work(monkeypatch)
    cache.session(child).complete()
    monkeypatch.undo()
    run = claim_run(cache)
    assert (run.id, run.is_resumed) == (parent.id, True)
    run.complete()
