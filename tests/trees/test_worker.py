"""The worker of an agent on every engine: results, retries, the stop, and many quick runs."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from redis_sessions import InvalidInput, Run, SessionCache
from redis_sessions._sync.api import worker as worker_module
from tests.conftest import REAL_ENGINES
from tests.support.servers import Server, await_true
from tests.trees.children import X
from tests.trees.runs import DEADLINE_SECONDS, claim_run, spawn_runs
from tests.trees.workers import working


def test_worker_handles_runs_until_it_is_stopped(cache: SessionCache) -> None:
    """A worker stores results, retries failures, fails a run with its last error, and finishes its runs after a stop."""
    parent = cache.create(max_children=None, max_active=None)
    spawn_runs(parent, "ok", "twice", "never", max_attempts=2)
    stop, seen = threading.Event(), []

    def handler(run: Run) -> Any:
        seen.append((run.task, run.attempt))
        run.append(X)
        if run.task == "never" or (run.task == "twice" and run.attempt == 1):
            raise ValueError("no luck")
        return {"task": run.task}

    logging.getLogger("redis_sessions.worker").disabled = True
    try:
        worker = threading.Thread(
            target=cache.worker, args=("a", handler), kwargs={"concurrency": 2, "stop": stop}, daemon=True
        )
        worker.start()
        ended = {one.task: one for one in parent.join(timeout=DEADLINE_SECONDS)}
        stop.set()
        worker.join(DEADLINE_SECONDS)
    finally:
        logging.getLogger("redis_sessions.worker").disabled = False
    assert not worker.is_alive()
    assert (ended["ok"].result, ended["twice"].result, ended["twice"].attempt) == ({"task": "ok"}, {"task": "twice"}, 2)
    assert (ended["never"].status, ended["never"].reason) == ("failed", "ValueError: no luck")
    assert sorted(seen) == [("never", 1), ("never", 2), ("ok", 1), ("twice", 1), ("twice", 2)]


def test_stopped_worker_releases_unfinished_run(cache: SessionCache) -> None:
    """A stopped worker releases a run that is unfinished after the grace."""
    spawn_runs(cache.create(), "t")
    stop, began, release = threading.Event(), threading.Event(), threading.Event()

    def handler(run: Run) -> None:
        began.set()
        release.wait(2 * DEADLINE_SECONDS)

    worker = threading.Thread(
        target=cache.worker, args=("a", handler), kwargs={"grace": 0.1, "stop": stop}, daemon=True
    )
    worker.start()
    assert began.wait(DEADLINE_SECONDS)
    stop.set()
    worker.join(DEADLINE_SECONDS)
    assert not worker.is_alive()
    run = claim_run(cache)
    assert run.attempt == 1
    release.set()


def test_quick_runs_leave_no_worker_slot_occupied(cache: SessionCache) -> None:
    """A worker handles 150 runs whose handlers may end before the worker recorded their start."""
    parent = cache.create(max_children=None, max_active=None, max_descendants=200)
    spawn_runs(parent, *[str(n) for n in range(150)])
    stop = threading.Event()
    worker = threading.Thread(
        target=cache.worker, args=("a", lambda run: run.task), kwargs={"concurrency": 2, "stop": stop}, daemon=True
    )
    worker.start()
    assert len(parent.join(timeout=2 * DEADLINE_SECONDS)) == 150
    stop.set()
    worker.join(DEADLINE_SECONDS)
    assert not worker.is_alive()


def test_busy_worker_survives_an_outage(
    own_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker whose slots are all taken goes on when the server answers again."""
    monkeypatch.setattr(worker_module, "POLL_INTERVAL_SECONDS", 0.05)
    began, release = threading.Event(), threading.Event()

    def handle(run: Run) -> str | None:
        began.set()
        assert release.wait(DEADLINE_SECONDS)
        return run.task

    with SessionCache.from_url(own_server.url, namespace=namespace, timeout=0.5, retry_for=0.5) as cache:
        parent = cache.create()
        spawn_runs(parent, "during", "after")
        with working(cache, handle):
            assert began.wait(DEADLINE_SECONDS)
            own_server.pause()
            await_true(lambda: "a claim failed, going on" in caplog.text)
            own_server.resume()
            release.set()
            assert [child.result for child in parent.join(timeout=DEADLINE_SECONDS)] == ["during", "after"]


def test_refused_option_leaves_nothing_behind(cache: SessionCache) -> None:
    """A worker that is refused does not stay registered for notifications."""
    for option in ({"concurrency": 0}, {"grace": -1}, {"signals": 1}, {"stop": 1}, {"until_idle": 2}):
        with pytest.raises(InvalidInput):
            cache.worker("a", print, **option)  # type: ignore[arg-type]
    assert cache._context.hub._listeners == {}


@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake server ends with its cache
@pytest.mark.parametrize("concurrency", [1, 2], ids=["all-slots-taken", "slot-free"])
def test_closed_cache_stops_its_worker_at_once(cache: SessionCache, url: str, concurrency: int) -> None:
    """A cache that is closed in another thread tells handlers that their lease is lost, and ends its worker."""
    spawn_runs(cache.create(), "t")
    began, told, raised = threading.Event(), [], []

    def handler(run: Run) -> None:
        began.set()
        told.append((run.should_stop.wait(DEADLINE_SECONDS), run.stop_reason))

    def work(own: SessionCache) -> None:
        with pytest.raises(InvalidInput, match="closed") as error:
            own.worker("a", handler, stop=threading.Event(), concurrency=concurrency)
        raised.append(error)

    own = SessionCache.from_url(url, namespace=cache.namespace)
    worker = threading.Thread(target=work, args=(own,), daemon=True)
    worker.start()
    assert began.wait(DEADLINE_SECONDS)
    own.close()
    worker.join(DEADLINE_SECONDS / 2)
    assert (worker.is_alive(), len(raised)) == (False, 1)
    await_true(lambda: told == [(True, "lost")])  # its thread can end later than the worker
