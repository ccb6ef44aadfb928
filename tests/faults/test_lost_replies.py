"""Writes happen exactly once over a network that loses requests and replies. Without operation IDs the same run fails."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, Message, OutcomeUnknown, SessionCache
from tests.support.history import disable_idempotency
from tests.support.processes import CONTEXT
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server

PROCESSES, APPENDS = 4, 500


def _write(url: str, namespace: str, worker: int, careful: bool, pipe: Any) -> None:
    if not careful:
        disable_idempotency()
    with SessionCache.from_url(url, namespace=namespace, timeout=0.3, retry_for=120) as cache:
        session = cache.session("shared")
        pipe.send(
            [
                session.append(
                    {"role": "user", "content": f"{worker}.{number}"}, batch_id=f"{worker}.{number}"
                ).first_seq
                for number in range(APPENDS)
            ]
        )


def _run(server: Server, namespace: str, careful: bool) -> tuple[list[list[int]], list[str], Losses]:
    """Return the seqs that each worker was acknowledged, the stored texts, and the chunks that the network lost."""
    losses = Losses(requests=0.02, replies=0.02)
    with SessionCache.from_url(server.url, namespace=namespace) as cache, proxy(server.port, losses) as port:
        session = cache.create("shared", max_messages=None)
        workers = []
        for worker in range(PROCESSES):
            mine, theirs = CONTEXT.Pipe()
            url = f"redis://127.0.0.1:{port}"
            process = CONTEXT.Process(target=_write, args=(url, namespace, worker, careful, theirs))
            process.start()
            workers.append((process, mine))
        acknowledged = [pipe.recv() for _, pipe in workers]
        for process, _ in workers:
            process.join()
        stored = [str(message.content) for message in session.history()]
    server.client.flushall()
    return acknowledged, stored, losses


def test_append_over_lossy_network_happens_once(server: Server, namespace: str) -> None:
    """With 2 % of requests and replies lost, 4 × 500 appends store 2,000 messages, each at its acknowledged seq."""
    acknowledged, stored, losses = _run(server, namespace, careful=True)
    assert losses.lost_requests > 10
    assert losses.lost_replies > 10
    assert len(stored) == PROCESSES * APPENDS
    for worker, seqs in enumerate(acknowledged):
        assert seqs == sorted(seqs)
        assert [stored[seq - 1] for seq in seqs] == [f"{worker}.{number}" for number in range(APPENDS)]


def test_lossy_network_without_operation_ids_stores_duplicates(own_server: Server, namespace: str) -> None:
    """The ablation shows that a retry after a lost reply stores the message again when no operation ID is compared."""
    _, stored, _ = _run(own_server, namespace, careful=False)
    assert max(Counter(stored).values()) > 1
    assert len(stored) > PROCESSES * APPENDS


@pytest.mark.parametrize("lost", [0.0, 0.05])
def test_tasks_on_a_broken_connection_write_once(server: Server, namespace: str, lost: float) -> None:
    """A broken connection fails all calls in flight, and the server recognises the retry of each."""

    async def main(port: int) -> None:
        url = f"redis://127.0.0.1:{port}"
        async with AsyncSessionCache.from_url(url, namespace=namespace, timeout=0.3, retry_for=120) as cache:
            sessions = [await cache.create(max_messages=None) for _ in range(8)]

            async def write(number: int) -> None:
                session = sessions[number % 8]
                for step in range(25):
                    text = f"{number}.{step}"
                    result = await session.append({"role": "user", "content": text}, batch_id=text)
                    seqs[session.id, result.first_seq] = text

            seqs: dict[tuple[str, int], str] = {}
            await asyncio.gather(*[write(number) for number in range(32)])
            assert len(seqs) == 32 * 25
            for session in sessions:
                for message in await session.history():
                    assert seqs.pop((session.id, message.seq)) == message.content
            assert not seqs

    with proxy(server.port, Losses(lost, lost)) as port:
        asyncio.run(main(port))
    server.client.flushall()


def test_change_with_a_lost_reply_happens_once(own_server: Server, namespace: str) -> None:
    """The server recognises the retry of a change of the state, the options or the transcript, so each happens once."""
    losses = Losses(0, 0)
    message, other_message = {"role": "user", "content": "x"}, {"role": "user", "content": "y"}
    popped: list[list[Message]] = []
    with SessionCache.from_url(own_server.url, namespace=namespace) as direct, proxy(own_server.port, losses) as port:
        url = f"redis://127.0.0.1:{port}"
        with SessionCache.from_url(url, namespace=namespace, timeout=0.5, retry_for=60) as cache:
            session, other = cache.create("a"), direct.session("a")
            rev = session.append(message).rev
            changes: list[Callable[[], Any]] = [
                lambda: session.state.put("k", 1, expected_rev=rev),
                lambda: session.patch(name="n", expected_rev=rev + 1),
                lambda: session.pin(1, expected_rev=rev + 2),
                lambda: session.append(message, state={"k": 2}, if_state={"k": 1}, expected_rev=rev + 3),
                lambda: session.replace(2, other_message, expected_rev=rev + 4),
                lambda: popped.append(session.pop(expected_rev=rev + 5)),
                lambda: session.replace(message, message, after_seq=1, expected_rev=rev + 6),
                lambda: session.abandon_calls(expected_rev=rev + 7),
                lambda: session.clear(expected_rev=rev + 8),
            ]
            for change in changes:
                losses.replies = 1.0
                threading.Timer(0.2, lambda: setattr(losses, "replies", 0.0)).start()
                change()
            other.append(message)
            assert (session.info().rev, session.info().count, session.info().last_seq) == (rev + 10, 1, 5)
            assert [[one.content for one in batch] for batch in popped] == [["y"]]


def test_fork_with_a_lost_reply_copies_once(own_server: Server, namespace: str) -> None:
    """The server recognises the retry of a fork, so that one new session exists, and its batch ID finds that session."""
    losses = Losses(0, 0)
    with SessionCache.from_url(own_server.url, namespace=namespace) as direct, proxy(own_server.port, losses) as port:
        url = f"redis://127.0.0.1:{port}"
        with SessionCache.from_url(url, namespace=namespace, timeout=0.5, retry_for=60) as cache:
            session = cache.create("a")
            session.append({"role": "user", "content": "x"})
            forks = []
            for batch_id in (None, "branch", "branch"):
                losses.replies = 1.0
                threading.Timer(0.2, lambda: setattr(losses, "replies", 0.0)).start()
                forks.append(session.fork(batch_id=batch_id))
            assert len({fork.id for fork in forks}) == 2
            assert [fork.append({"role": "user", "content": "y"}).last_seq for fork in forks] == [2, 2, 3]
        assert len(list(direct.iter_sessions())) == 3


def test_delete_with_a_lost_reply_raises_outcome_unknown(own_server: Server, namespace: str) -> None:
    """A deletion by ID is not retried, because the retry could delete a session that was created in between."""
    losses = Losses(0, 0)
    with SessionCache.from_url(own_server.url, namespace=namespace) as direct, proxy(own_server.port, losses) as port:
        direct.create("a")
        url = f"redis://127.0.0.1:{port}"
        with SessionCache.from_url(url, namespace=namespace, timeout=0.5, retry_for=60) as cache:
            cache.delete("another")
            cache._context.indexer.learn(["a"])  # else the reply of this read, which precedes the deletion, is lost
            cache.session("a").touch()
            losses.replies = 1.0
            with pytest.raises(OutcomeUnknown, match="Look at what is stored"):
                cache.delete("a")
        assert direct.get("a") is None
