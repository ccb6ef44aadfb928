"""Full inboxes: their bound in bytes, and each way in which they enter the transcript in one step."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from redis_sessions import BoundExceeded, Session, SessionCache
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.records import Counters
from tests.support.lease_waiters import elsewhere
from tests.support.servers import await_true
from tests.trees.children import spawn_child
from tests.trees.runs import DEADLINE_SECONDS, claim_run, spawn_runs

MESSAGE = {"role": "user", "content": "x" * 250_000}
"""A message of which eight fill an inbox."""


def fill(session: Session, role: str = "user") -> None:
    """Send eight messages to a session whose lease another worker holds."""
    for number in range(8):
        elsewhere(partial(session.send, MESSAGE | {"role": role, "n": number}))


def numbers(session: Session) -> list[Any]:
    """Return the numbers of the messages of a full inbox."""
    return [(one.payload or {}).get("n") for one in session.history()]


def test_inbox_is_bounded_in_bytes(url: str, namespace: str) -> None:
    """One message fits in any case, a further one is refused above the bound, and a drain makes room."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"inbox_bytes": 1000}) as cache:
        session = cache.create()
        other = cache.session(session.id)
        with session.lease() as lease:
            for size in (2000, 400):
                elsewhere(partial(other.send, "x" * size))
                with pytest.raises(BoundExceeded, match=r"StorageBounds\(inbox_bytes=…\)") as caught:
                    elsewhere(lambda: other.send("x" * 800))
                assert (caught.value.limit, caught.value.max) == ("inbox_bytes", 1000)
                assert session.info().inbox_size == 1
                assert len(lease.receive()) == 1
            elsewhere(lambda: other.send("x" * 400))
            elsewhere(lambda: other.send("x" * 400))
        assert session.info().count == 4


def test_results_of_children_take_no_room_of_senders(url: str, namespace: str) -> None:
    """Results above the bound enter the inbox, and a message of a sender still fits in any case."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"inbox_bytes": 1000}) as cache:
        root = cache.create()
        children = [spawn_child(root) for _ in range(2)]
        with root.lease():
            for child in children:
                elsewhere(partial(child.complete, "x" * 600))
            assert root.info().inbox_size == 2
            for size in (600, 200):
                elsewhere(partial(cache.session(root.id).send, "x" * size))
            with pytest.raises(BoundExceeded):
                elsewhere(lambda: cache.session(root.id).send("x" * 600))
        assert root.info().count == 4


def operations(session: Session) -> int:
    """Return how many operations the session had."""
    keys = session._keys
    text = session._executor.run(Call(("HGET", keys.session, "counters"), keys, lambda reply: reply, writes=False))
    return Counters.parse(text).operations


def test_full_inbox_enters_as_one_operation(cache: SessionCache) -> None:
    """A full inbox takes one place among the recorded results, so a batch ID that was sent before it stays known."""
    session = cache.create()
    other = cache.session(session.id)
    lease = session.lease()
    elsewhere(lease.acquire)
    other.send("1", batch_id="order-2")
    fill(other)
    before = operations(session)
    assert elsewhere(lease.release) == 9
    assert operations(session) - before == 1
    again = other.send("1", batch_id="order-2")
    assert again.duplicate
    assert session.info().count == 9


@pytest.mark.parametrize("end", ["times_out", "gives_up"])
def test_run_with_full_inbox_ends(cache: SessionCache, end: str) -> None:
    """A run whose inbox is full ends, its inbox enters its transcript, and its parent gets a result."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", run_timeout=4 if end == "times_out" else 60)
    run = claim_run(cache)
    fill(cache.session(id))
    if end == "gives_up":
        run.fail(reason="no luck")
    else:
        await_true(lambda: cache.recover() >= 0 and run.info().status == "timed_out", DEADLINE_SECONDS)
    found = cache.session(id)
    assert found.info().inbox_size == 0
    assert numbers(found)[-8:] == list(range(8))
    assert parent.info().count == 1


def test_full_inbox_of_cancelled_child_enters(cache: SessionCache) -> None:
    """The cancellation of a tree moves all messages of the inbox of a child into its transcript."""
    root = cache.create()
    child = spawn_child(root)
    with child.lease():
        fill(child)
        root.cancel()
    assert numbers(child) == list(range(8))
    assert child.info().inbox_size == 0


def test_user_message_among_long_ones_opens_next_turn(cache: SessionCache) -> None:
    """A message of the user that waits among long messages of the assistant is handed out as the next turn."""
    session = cache.create(answered_by="a")
    session.send("1")
    run = claim_run(cache)
    elsewhere(lambda: session.send("2"))
    for _ in range(7):
        elsewhere(lambda: session.send(MESSAGE | {"role": "assistant"}))
    run.finish({"role": "assistant", "content": "answer"})
    run = claim_run(cache)
    assert run.requests()[0].content == "2"
    run.finish({"role": "assistant", "content": "answer"})
