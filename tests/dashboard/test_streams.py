"""The streams: parts that changed, messages as they come, the store that is down, and one poller for all viewers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from redis_sessions import InvalidInput, SessionCache, StoreUnavailable
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions.dashboard import dashboard_app, poller, session_streams, streams
from redis_sessions.dashboard.board import Page
from tests.support.dashboard import FixedMonitor, Running, dashboard, events, fleet, serve
from tests.support.servers import await_true


@contextlib.contextmanager
def watching(running: Running, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """Open a stream, and yield its events."""
    with running.client() as client, client.stream("GET", path) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield events(response)


def until(stream: Iterator[tuple[str, Any]], text: str, name: str = "", part: str = "") -> str:
    """Return the first part, or list of messages, that holds a text. The stream ends the wait after 30 s of silence."""
    deadline = time.monotonic() + 60
    for kind, data in stream:
        assert time.monotonic() < deadline
        parts = data if isinstance(data, dict) else {kind: str(data)}
        for key, html in parts.items():
            if text in html and name in ("", kind) and part in ("", key):
                return str(html)
    raise AssertionError(f"the stream ended before {text!r}")


def test_stream_sends_only_parts_that_changed(cache: SessionCache) -> None:
    """The first event has all parts, so that a page that slept is current. Then only changed ones follow."""
    monitor = FixedMonitor(active=7)
    with dashboard(cache, monitor=monitor) as running, watching(running, "/live/fleet") as stream:
        name, first = next(stream)
        assert name == "parts"
        assert {"store", "totals", "problems", "charts", "agents", "leases"} <= set(first)
        monitor.fleet = fleet(active=8, read_at=monitor.fleet.read_at)
        found = next(data for kind, data in stream if kind == "parts")
        assert list(found) == ["totals"]
        assert '<dd data-testid="active">8</dd>' in found["totals"]


def test_all_viewers_share_one_poller(cache: SessionCache) -> None:
    """Ten viewers cost as many reads as one, and each of them gets the change."""
    monitor = FixedMonitor(active=7)
    with dashboard(cache, monitor=monitor) as running, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(watching(running, "/live/fleet")) for _ in range(10)]
        for stream in streams:
            until(stream, ">7</dd>")
        board = running.app.state.board
        assert board.poller.viewers == 10
        begin, reads = time.monotonic(), monitor.reads
        monitor.fleet = fleet(active=8)
        for stream in streams:
            until(stream, ">8</dd>")
        assert monitor.reads - reads <= (time.monotonic() - begin) / poller.WATCHED_PACE + 2
        stack.close()
        await_true(lambda: board.poller.viewers == 0)


def test_fleet_without_viewers_is_read_slowly(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without viewers the fleet is read at the idle pace, and at once when the first viewer comes."""
    monkeypatch.setattr(poller, "IDLE_PACE", 3600.0)
    monitor = FixedMonitor(active=7)
    with dashboard(cache, monitor=monitor) as running:
        await_true(lambda: monitor.reads == 1)
        time.sleep(2.5)  # longer than the pace with viewers
        assert monitor.reads == 1
        with watching(running, "/live/fleet") as stream:
            until(stream, ">7</dd>")
            await_true(lambda: monitor.reads >= 2)


def test_silent_worker_is_read_when_it_counts_as_dead(cache: SessionCache) -> None:
    """The next read comes when a silent worker dies by the rule of the registry, and not a whole pace later."""
    worker = {
        "id": "w", "owner": "w", "host": "h", "pid": 1, "agents": ["a"], "concurrency": 1, "holding": [], "ttl": 2.0,
        "started_at": 0, "last_heard_at": 0, "silent_for": 2.5, "is_alive": True,
    }  # fmt: skip
    for changes, pace in (({}, 0.55), ({"silent_for": 0.2}, 2.0), ({"is_alive": False}, 2.0), ({"ttl": 30}, 2.0)):
        reader = poller.FleetPoller(FixedMonitor(), "x")
        reader.fleet = fleet(workers=[worker | changes])
        assert reader._pace() == pytest.approx(pace), changes


def test_stream_says_that_the_store_is_down_and_back(cache: SessionCache) -> None:
    """The part on the store comes when reads fail, also on a page that reads the store itself, and goes when reads succeed."""
    monitor = FixedMonitor()
    cache.create("s1")
    with dashboard(cache, monitor=monitor) as running:
        for path in ("/live/fleet", "/live/sessions", "/live/session?id=s1"):
            with watching(running, path) as stream:
                until(stream, 'id="summary"', part="store")
                monitor.problem = StoreUnavailable(where="redis://db", waited=3.0, detail="refused")
                html = until(stream, "store-down", part="store")
                assert "refused" in html
                monitor.problem = None
                deadline = time.monotonic() + 30
                while "store-down" in until(stream, 'id="summary"', part="store"):
                    assert time.monotonic() < deadline


def test_session_grows_live(cache: SessionCache) -> None:
    """Messages come in order as they are appended. An edit sends the whole transcript again."""
    one = cache.create("s1")
    one.append({"role": "user", "content": "first"})
    with dashboard(cache, monitor=FixedMonitor()) as running, watching(running, "/live/session?id=s1") as stream:
        until(stream, "first", part="transcript")
        one.append({"role": "assistant", "content": "<b>second</b>"}, {"role": "user", "content": "third"})
        html = until(stream, "second", name="messages")
        assert "&lt;b&gt;second&lt;/b&gt;" in html
        assert 'id="m2"' in html
        assert "third" in html or "third" in until(stream, "third", name="messages")
        one.pause(reason="lunch")
        until(stream, "lunch", part="facts")
        one.resume()
        one.append({"role": "user", "content": "fourth"})
        until(stream, "fourth", name="messages")
        one.replace(after_seq=2)
        html = until(stream, "second", part="transcript")
        assert "third" not in html
        one.append({"role": "user", "content": "fifth"})
        until(stream, "fifth", name="messages")


def test_damaged_message_does_not_end_the_live_transcript(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that cannot be read is shown as damaged, and what is appended behind it follows."""
    one = cache.create("s1")
    one.append({"role": "user", "content": "first"})
    keys = session_keys(cache.namespace, "s1")
    show_all, shown = session_streams._Follower._show_all, []

    async def damage_afterwards(self: Any) -> None:
        await show_all(self)
        shown.append(self)
        if len(shown) == 1:  # before the watch begins, so that it reads the damaged message
            one.append({"role": "user", "content": "second"}, {"role": "user", "content": "third"})
            cache._executor.run(Call(("LSET", keys.messages, 1, "broken"), keys, lambda reply: reply))

    monkeypatch.setattr(session_streams._Follower, "_show_all", damage_afterwards)
    with dashboard(cache, monitor=FixedMonitor()) as running, watching(running, "/live/session?id=s1") as stream:
        until(stream, "first", part="transcript")
        html = until(stream, 'data-testid="damaged" data-seq="2"', part="transcript")
        assert "first" in html
        assert "third" in html
        one.append({"role": "user", "content": "fourth"})
        until(stream, "fourth", name="messages")
    assert len(shown) == 2


def test_unexpected_error_ends_the_stream_of_a_session(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A page that no longer gets messages must not look live: its browser hears that the stream ended, and asks again."""

    def fail(*arguments: Any) -> None:
        raise TypeError("broken")

    one = cache.create("s1")
    with dashboard(cache, monitor=FixedMonitor()) as running, watching(running, "/live/session?id=s1") as stream:
        until(stream, "no-messages", part="transcript")
        monkeypatch.setattr(session_streams, "items_of", fail)
        one.append({"role": "user", "content": "first"})
        deadline = time.monotonic() + 60
        for _ in stream:  # to its end
            assert time.monotonic() < deadline
    assert "the stream of a session page failed" in caplog.text


def test_answer_in_progress_is_shown(cache: SessionCache) -> None:
    """Text that a caller publishes is shown until the message comes."""
    one = cache.create("s1")
    with dashboard(cache, monitor=FixedMonitor()) as running, watching(running, "/live/session?id=s1") as stream:
        until(stream, "no-messages", part="transcript")
        stop = threading.Event()

        def publish() -> None:
            while not stop.wait(0.2):  # a watch hears what is published while it waits
                one.publish({"text": "thinking<i> "})

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            assert "thinking&lt;i&gt; " in until(stream, "thinking", part="progress")
        finally:
            stop.set()
            thread.join()
        one.append({"role": "assistant", "content": "done"})
        until(stream, "done", name="messages")


def test_deleted_session_ends_its_stream(cache: SessionCache) -> None:
    """The page says that the session is gone, and does not ask again. The same holds for a session that never was."""
    one = cache.create("s1")
    with dashboard(cache, monitor=FixedMonitor()) as running:
        with watching(running, "/live/session?id=s1") as stream:
            until(stream, "active", part="facts")
            one.delete()
            until(stream, "The session is gone", part="facts")
            assert next(kind for kind, _ in stream if kind != "parts") == "end"
        with watching(running, "/live/session?id=never") as stream:
            until(stream, "The session is gone", part="facts")


def test_closed_page_leaves_nothing_behind(cache: SessionCache) -> None:
    """A viewer who leaves ends the watch and the tasks of the stream."""
    cache.create("s1")
    with dashboard(cache, monitor=FixedMonitor()) as running:
        board = running.app.state.board
        for _ in range(3):
            with watching(running, "/live/session?id=s1") as stream:
                until(stream, "active", part="facts")
        await_true(lambda: board.poller.viewers == 0)


def test_streams_end_when_the_server_stops(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops is not held up by pages that are open: their streams end before the next beat."""
    monkeypatch.setattr(streams, "BEAT", 3600.0)
    monkeypatch.setattr(session_streams, "BEAT", 3600.0)
    cache.create("s1")
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(dashboard(cache, monitor=FixedMonitor()))
        client = stack.enter_context(running.client())
        for path in ("/live/fleet", "/live/session?id=s1"):
            stream = stack.enter_context(client.stream("GET", path))
            assert next(events(stream))[0] == "parts"
        running.app.state.board.poller.end_streams()
        await_true(lambda: running.app.state.board.poller.viewers == 0)


def test_streams_of_a_mounted_dashboard_end_when_its_app_stops(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mounted app has no lifespan, and a server waits for its streams: they end once `stop` is set, and new ones at once."""
    monkeypatch.setattr(streams, "BEAT", 3600.0)
    monkeypatch.setattr(session_streams, "BEAT", 3600.0)
    cache.create("s1")
    stop = threading.Event()
    mounted = dashboard_app(cache, monitor=FixedMonitor(), stop=stop)
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(serve(Starlette(routes=[Mount("/ops", mounted)])))
        client = stack.enter_context(running.client())
        paths = ("/ops/live/fleet", "/ops/live/session?id=s1")
        open_streams = [events(stack.enter_context(client.stream("GET", path))) for path in paths]
        for stream in open_streams:
            assert next(stream)[0] == "parts"
        stop.set()
        for stream in open_streams:  # a stream that goes on fails by the timeout of the client
            assert len(list(stream)) < 10
        assert list(events(stack.enter_context(client.stream("GET", "/ops/live/fleet")))) == []


def test_stop_that_is_not_an_event_is_refused(cache: SessionCache) -> None:
    """A wrong `stop` is an error when the app is made, and not when the process shuts down."""
    with pytest.raises(InvalidInput, match="stop"):
        dashboard_app(cache, stop="now")  # type: ignore[arg-type]


def test_viewers_of_one_page_share_its_reads(cache: SessionCache) -> None:
    """Viewers who ask at the same time wait for one read. One that leaves does not end the read of the others."""
    board = dashboard_app(cache, monitor=FixedMonitor()).state.board
    loads = 0

    async def load(board: Any, query: Any) -> dict[str, Any]:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.2)
        return {"tree": None, "info": None, "count": 0, "hidden": 0, "asked": None}

    async def view() -> None:
        page = Page("tree", lambda query: "", (), load)
        viewers = [asyncio.create_task(board.render_parts(page, {"id": "root"}, "")) for _ in range(10)]
        await asyncio.sleep(0.05)
        viewers[0].cancel()
        found = await asyncio.gather(*viewers, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert [list(parts) for parts in found[1:]] == [["store"]] * 9  # type: ignore[arg-type]
        await board.cache.close()

    asyncio.run(view())
    assert loads == 1


def test_wrong_stream_is_refused(cache: SessionCache) -> None:
    """A stream of a page that does not exist, or with a wrong parameter, is an error before it begins, or ends."""
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        for path in ("/live/nothing", "/live/session"):
            try:
                assert client.get(path).status_code in (400, 404)
            except httpx.ReadTimeout:
                raise AssertionError(path) from None
