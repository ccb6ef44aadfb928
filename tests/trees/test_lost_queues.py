"""Queues that lost their work, as a failover of their node in a cluster can lose it: the sessions still have the work."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import redis

from redis_sessions import Run, Session, SessionCache
from redis_sessions.cli.reindex import reindex
from tests.conftest import Engines, fake_client
from tests.support.servers import await_true
from tests.trees.children import key_of
from tests.trees.runs import DEADLINE_SECONDS, claim_run
from tests.trees.workers import await_work_state, kill_background_work, texts, working

QUESTION = {"role": "user", "content": "Where is my bag?"}


class Losses:
    """Removes the queues of agents."""

    def __init__(self, cache: SessionCache, clients: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self._cache, self._clients, self._monkeypatch = cache, clients, monkeypatch

    def lose(self, agent: str) -> None:
        """Remove all keys of an agent's queue."""
        _, _, *keys = self._cache._context.run_queues.queue_of(agent)
        for client in self._clients:
            for key in keys:
                with suppress(redis.exceptions.MovedError):
                    client.delete(key)

    def spawn_and_lose(self, parent: Session, agent: str) -> Session:
        """Spawn a run, and remove the queue before this process writes more into it."""
        with self._monkeypatch.context() as patch:
            kill_background_work(patch)
            child = key_of(parent.spawn(agent, task="x"))
            self.lose(agent)
        return self._cache.session(child)

    def ask_and_lose(self, session: Session, agent: str) -> Any:
        """Send a question, and remove the queue before this process writes more into it."""
        with self._monkeypatch.context() as patch:
            kill_background_work(patch)
            sent = session.send(QUESTION)
            self.lose(agent)
        return sent


@pytest.fixture
def losses(cache: SessionCache, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Losses:
    """Return what removes queues of the engine."""
    return Losses(cache, [node.client for node in engines.nodes[engine]] or [fake_client(cache)], monkeypatch)


def answer(run: Run) -> str | None:
    """Answer a turn, or end a run."""
    if run.work == "run":
        return "done"
    run.finish({"role": "assistant", "content": "On flight 12."})
    return None


@pytest.mark.parametrize("engine", ["cluster"], indirect=True)
def test_join_finds_run_that_its_queue_lost(cache: SessionCache, losses: Losses) -> None:
    """A parent that waits in `join` puts a run back that the queue of its agent lost."""
    root = cache.create()
    losses.spawn_and_lose(root, "a")
    with working(cache, answer):
        (child,) = root.join(timeout=DEADLINE_SECONDS)
    assert child.result == "done"


@pytest.mark.parametrize("engine", ["cluster"], indirect=True)
def test_waiting_sender_finds_turn_that_its_queue_lost(cache: SessionCache, losses: Losses) -> None:
    """A caller that waits for the reply puts a turn back that the queue of its agent lost."""
    session = cache.create(answered_by="a")
    sent = losses.ask_and_lose(session, "a")
    with working(cache, answer):
        assert session.wait_for_reply(sent, timeout=DEADLINE_SECONDS).text == "On flight 12."


@pytest.mark.parametrize("engine", ["cluster"], indirect=True)
def test_parked_parent_finds_run_that_its_queue_lost(cache: SessionCache, losses: Losses) -> None:
    """The check of a parked run puts a child back that the queue of its agent lost."""

    def wait(run: Run) -> Any:
        return [one.result for one in run.wait_for([run.spawn("b", task="x")], timeout=DEADLINE_SECONDS)]

    parent = cache.session(key_of(cache.create().spawn("a", task="x")))
    with working(cache, wait, "a"):
        await_work_state(parent, "parked")
        await_true(lambda: not cache._context.run_queues.is_checking)
        losses.lose("b")
        with working(cache, answer, "b"):
            await_true(lambda: parent.info().status == "completed", DEADLINE_SECONDS)


def test_reindex_restores_lost_queues(cache: SessionCache, losses: Losses) -> None:
    """Runs and turns are handed out after a reindex, each once, and work that has ended stays away."""
    root, session, done = cache.create(), cache.create(answered_by="b"), cache.create(answered_by="b")
    child = losses.spawn_and_lose(root, "a")
    grandchild = losses.spawn_and_lose(child, "a")
    ended = losses.spawn_and_lose(root, "a")
    ended.complete()
    losses.ask_and_lose(session, "b")
    done.append({"role": "user", "content": "Thank you."})
    assert [cache.claim(agent) for agent in ("a", "b")] == [None, None]
    reindex(cache, lambda _: None)
    runs = [claim_run(cache) for _ in range(2)]
    assert {run.id for run in runs} == {child.id, grandchild.id}
    with claim_run(cache, "b") as turn:
        assert turn.id == session.id
        answer(turn)
    assert [cache.claim(agent) for agent in ("a", "b")] == [None, None]
    assert texts(session) == ["Where is my bag?", "On flight 12."]
    for run in runs:
        run.release()
