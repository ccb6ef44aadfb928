"""All pages with the monitor of the cache behind them, on each engine, and the mistakes of a set-up."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from redis_sessions import AsyncSessionCache, SessionCache
from tests.conftest import ENGINES, SAMPLED_ENGINES
from tests.support.dashboard import Running, dashboard
from tests.support.servers import await_true

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("engine", [name for name in ENGINES if name not in SAMPLED_ENGINES])
def test_every_page_shows_the_fleet_of_every_engine(cache: SessionCache) -> None:
    """A fleet with a tree, a held lease, a failed run and a queue is on the pages, in a cluster, too."""
    root = cache.create("root", agent_id="lead", user_id="mia")
    child = root.spawn("writer", task="dig", label="first").raise_if_refused().session_key
    run = cache.claim("writer", wait=30, owner="worker-1")
    assert run is not None
    other = cache.create("other").spawn("broken", max_attempts=1).raise_if_refused().session_key
    failing = cache.claim("broken", wait=30)
    assert failing is not None
    failing.fail(reason="no disk")
    waiting = cache.create("third").spawn("waiter").raise_if_refused().session_key
    expected = {
        "/": 'data-kind="no_worker"', "/sessions": "third", "/work": waiting, "/work?state=running": child,
        "/work?state=failed": "no disk", f"/session?id={child}": "worker-1", f"/tree?id={child}": "dig", "/health": "✔",
        f"/session?id={other}": "no disk", "/workers": "No worker runs", "/poison": "None found",
    }  # fmt: skip
    with dashboard(cache, stuck_after=0.001) as running, running.client() as client:
        for path, text in expected.items():
            await_true(lambda path=path, text=text: str(text) in client.get(path).text)  # type: ignore[misc]
    run.complete()


def test_holder_on_the_page_is_the_present_one(cache: SessionCache) -> None:
    """The page of a session names the holder of its lease as long as the lease is held."""
    lease = cache.create("s1").lease(owner="worker-1")
    with dashboard(cache) as running:
        assert holder(running) == ""
        lease.acquire()
        assert holder(running) == "worker-1"
        lease.release()
        assert holder(running) == ""


def holder(running: Running) -> str:
    """Return the name of the holder on the page of session s1."""
    with running.client() as client:
        html = client.get("/session?id=s1").text
    return html.partition("<dt>holder</dt><dd>")[2].partition(" (fence")[0] if "(fence" in html else ""


def test_caches_of_both_kinds_are_taken(url: str, cache: SessionCache) -> None:
    """The dashboard copies the options of the cache, codecs and namespace included, and leaves the cache open."""
    cache.create("s1")
    for given in (cache, AsyncSessionCache(cache, ttl=timedelta(days=1))):
        with dashboard(given) as running, running.client() as client:
            assert "s1" in client.get("/sessions").text
    assert cache.get("s1") is not None


def test_missing_package_is_one_sentence(tmp_path: Path) -> None:
    """The import says which extra to install."""
    (tmp_path / "jinja2.py").write_text("raise ImportError('no jinja2 here')\n")
    code = "import redis_sessions.dashboard"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'redis-sessions[dashboard]'" in done.stderr
