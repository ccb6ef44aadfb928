"""How children end, and how their parents hear of it: once, in order, whoever holds what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    InvalidTransition,
    JoinTimeout,
    LimitExceeded,
    Message,
    MessageTooLarge,
    ReplyTimeout,
    Session,
    SessionCache,
    SessionNotActive,
    SessionNotFound,
)
from redis_sessions._core import sessions
from tests.leases.line import elsewhere
from tests.trees.test_spawn import X, spawned


def facts(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = message.metadata["subagent"]
    return found


def child_of(parent: Session, **options: Any) -> Session:
    """A handle on a new child."""
    home = parent._home
    names = [spawned(parent.spawn("a", **options)), parent.id, *parent._keys.ancestors]
    return Session(home, home.queues.keys_of(" ".join(names)), "")


@pytest.mark.parametrize(
    ("end", "status", "text"),
    [
        (lambda child: child.complete("on flight 12"), "completed", "[bags completed] on flight 12"),
        (lambda child: child.complete({"at": [1, 2]}), "completed", '[bags completed] {"at":[1,2]}'),
        (lambda child: child.fail(reason='no "bag"\n'), "failed", '[bags failed] no "bag"\n'),
        (lambda child: child.cancel(reason="enough"), "cancelled", "[bags cancelled] enough"),
        (lambda child: child.time_out(), "timed_out", "[bags timed_out]"),
        (lambda child: child.delete(), "cancelled", "[bags cancelled] deleted"),
    ],
)
def test_a_result_is_a_message_of_the_parents(
    cache: SessionCache, end: Callable[[Session], Any], status: str, text: str
) -> None:
    """Readable for a model, with the facts as metadata; ended twice the same way, it is there once."""
    parent = cache.create()
    child = child_of(parent, label="bags")
    end(child)
    (message,) = parent.history()
    assert (message.role, message.content) == ("user", text)
    found = facts(message)
    assert (found["session"], found["label"], found["status"]) == (child.id, "bags", status)
    assert 0 <= found["runtime"] < 10
    if status == "completed" and "{" in text:
        assert found["result"] == {"at": [1, 2]}
    if parent.children()[0].is_stored:
        end(child)
        assert parent.info().count == 1
        assert parent.info().tokens == len(text.encode()) // 4 + 1


def test_ended_another_way_it_is_refused(cache: SessionCache) -> None:
    """And nothing is told twice."""
    parent = cache.create()
    child = child_of(parent)
    child.complete("x")
    with pytest.raises(InvalidTransition):
        child.fail()
    assert parent.info().count == 1


def test_under_a_lease_results_wait_in_the_inbox(cache: SessionCache) -> None:
    """In the order of the ends; the holder receives them."""
    parent = cache.create()
    children = [child_of(parent) for _ in range(3)]
    with parent.lease() as lease:
        for n, child in enumerate(children):
            elsewhere(partial(child.complete, str(n)))
        assert parent.info().inbox == 3
        parent.append(X)
        assert [m.content for m in lease.receive()] == [f"[a completed] {n}" for n in range(3)]
    assert [m.seq for m in parent.history()] == [1, 2, 3, 4]


@pytest.mark.parametrize("options", [{"max_turns": 0}, {"max_inbox": 1}])
def test_no_limit_of_the_parents_loses_a_result(cache: SessionCache, options: dict[str, Any]) -> None:
    """What its transcript does not take waits in its inbox, however full that is."""
    parent = cache.create(**options)
    if "max_inbox" in options:
        parent.pause()
    for n in range(2):
        cache.session(parent.id).resume() if n == 0 and "max_inbox" in options else None
        child = child_of(parent)
        if "max_inbox" in options:
            parent.pause()
        child.complete(n)
        if "max_inbox" in options:
            parent.resume()
            parent.pause()
            parent.resume()
    assert parent.info().inbox + parent.info().count == 2


def test_a_parent_that_ended_is_told_nothing(cache: SessionCache) -> None:
    """The result stays with the child."""
    parent = cache.create()
    child = child_of(parent, on_parent_end="detach")
    parent.complete()
    child.append(X)
    child.complete("x")
    assert parent.history() == []
    assert parent.children()[0].result == "x"


def test_a_result_has_a_size(cache: SessionCache) -> None:
    """Over the parent's limit of a message it is refused whole: the child goes on."""
    parent = cache.create(max_message_bytes=500)
    child = child_of(parent)
    with pytest.raises(MessageTooLarge, match="500"):
        child.complete("x" * 600)
    assert (child.info().status, parent.info().count) == ("active", 0)
    child.complete("x" * 100)


def test_a_child_that_is_not_kept_goes_with_its_result(cache: SessionCache) -> None:
    """The result is delivered, the session is gone, the tree remembers how it ended; repeated by the library, it is the same."""
    parent = cache.create()
    child = child_of(parent, cleanup="delete")
    child.append(X)
    call = sessions.status(child._keys, "", "", "completed", None, "x")
    rev = parent._calls.run(call)
    assert parent._calls.run(call) == rev
    with pytest.raises(SessionNotFound):
        child.info()
    with pytest.raises(SessionNotFound):
        child.complete("x")
    (message,), (left,) = parent.history(), parent.children()
    assert message.content == "[a completed] x"
    assert (left.status, left.is_stored) == ("completed", False)


def test_a_limit_ends_a_child_for_its_parent_too(cache: SessionCache) -> None:
    """`end_session` counts as its completion, by the writer whose message was refused."""
    parent = cache.create()
    child = child_of(parent, max_entries=1, limit_action="end_session")
    child.append(X)
    with pytest.raises(Exception, match="entries"):
        child.append(X)
    assert parent.join(timeout=5)[0].status == "completed"
    assert parent.history()[0].content == "[a completed] limit entries 2 1"


def test_the_child_takes_its_inbox_in_before_it_ends(cache: SessionCache) -> None:
    """Nothing that was sent to it is lost."""
    child = child_of(cache.create())
    with child.lease():
        elsewhere(lambda: child.send("wait"))
        child.complete("x")
    assert [m.content for m in child.history()] == ["wait"]


def later(seconds: float, function: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(seconds, function)
    timer.start()
    return timer


def test_join_waits_for_some_or_all(cache: SessionCache) -> None:
    """Woken by the ends; it answers those that have ended, in the order of spawning."""
    parent = cache.create()
    children = [child_of(parent) for _ in range(3)]
    assert cache.create().join(timeout=0) == []
    timers = [later(0.2 + 0.2 * n, partial(children[2 - n].complete, n)) for n in range(3)]
    began = time.monotonic()
    assert [one.result for one in parent.join("any", timeout=5)] == [0]
    assert [one.result for one in parent.join(2, timeout=5)] == [1, 0]
    assert [one.result for one in parent.join(timeout=5)] == [2, 1, 0]
    assert time.monotonic() - began < 2
    for timer in timers:
        timer.join()


def test_a_join_has_a_deadline(cache: SessionCache) -> None:
    """Then it says who had ended and who had not."""
    parent = cache.create()
    first, second = child_of(parent), child_of(parent)
    first.complete()
    with pytest.raises(JoinTimeout) as told:
        parent.join(timeout=0.2)
    assert (told.value.ended, told.value.waiting) == ([first.id], [second.id])
    for bad in ("some", 0, 1.5):
        with pytest.raises(InvalidInput):
            parent.join(bad)  # type: ignore[arg-type]


def test_send_and_wait_for_the_reply(cache: SessionCache) -> None:
    """The first answer that calls no tool, also when what was sent waits for a holder."""
    session = cache.create()
    sent = session.send("hi")

    def answer() -> None:
        session.append({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]})
        session.append({"role": "tool", "tool_call_id": "c", "content": "t"})
        session.append({"role": "assistant", "content": "hello"})

    timer = later(0.2, answer)
    assert session.wait_for_reply(sent, timeout=5).content == "hello"
    timer.join()
    with session.lease():
        queued = elsewhere(lambda: session.send("more"))
        session.append({"role": "assistant", "content": "to another"})
    assert queued.seq is None
    timer = later(0.2, lambda: session.append({"role": "assistant", "content": "here"}))
    assert session.wait_for_reply(queued, timeout=5).content == "here"
    timer.join()
    with pytest.raises(ReplyTimeout):
        session.wait_for_reply(session.info().last_seq, timeout=0.1)


@pytest.mark.parametrize("how", ["append", "send", "receive", "release"])
def test_whatever_passes_a_limit_that_ends_a_child_ends_it_for_its_tree(cache: SessionCache, how: str) -> None:
    """In the script itself: counted, delivered, those below it cancelled."""
    parent = cache.create(max_concurrent=2)
    child = child_of(parent, max_entries=1, limit_action="end_session", label="x")
    below = child_of(child)
    child.append(X)
    if how in ("receive", "release"):
        with suppress(LimitExceeded, SessionNotActive), child.lease() as lease:
            elsewhere(lambda: child.send("y"))
            if how == "receive":
                lease.receive()
    else:
        with pytest.raises(LimitExceeded):
            child.append(X) if how == "append" else child.send("y")
    assert parent.history()[0].content == "[x completed] limit entries 2 1"
    assert [one.status for one in parent.children()] == ["completed"]
    with pytest.raises(SessionNotActive):
        below.append(X)


def test_a_result_does_not_end_its_parent_by_a_limit(cache: SessionCache) -> None:
    """It waits in the inbox."""
    root = cache.create()
    middle = child_of(root, max_entries=0, limit_action="end_session")
    child_of(middle).complete("x")
    assert (middle.info().status, middle.info().inbox) == ("active", 1)


def test_a_join_hears_of_the_end_of_its_own_session(cache: SessionCache) -> None:
    """Its children end with it; nobody waits for the heartbeat."""
    parent = cache.create()
    child_of(parent)
    timer = later(0.2, parent.cancel)
    began = time.monotonic()
    assert [one.status for one in parent.join(timeout=10)] == ["cancelled"]
    assert time.monotonic() - began < 3
    timer.join()


def test_a_batch_id_is_of_one_kind(cache: SessionCache) -> None:
    """Used for a spawn it is no append's, and the other way round."""
    parent = cache.create()
    parent.append(X, batch_id="1")
    parent.spawn("a", batch_id="2")
    for call in (
        lambda: parent.spawn("a", batch_id="1"),
        lambda: parent.append(X, batch_id="2"),
        lambda: parent.send("x", batch_id="2"),
    ):
        with pytest.raises(InvalidInput, match="batch_id"):
            call()
    for _ in range(70):
        parent.append(X)
    assert parent.spawn("a", batch_id="2").accepted
    assert len(parent.children()) == 1
