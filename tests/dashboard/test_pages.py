"""Each page: its facts, its hostile texts, and its answer to wrong input."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from redis_sessions import SessionCache, StoreUnavailable
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions.codecs import EVERYTHING, AesGcm, KeyRing
from redis_sessions.dashboard import dashboard_app
from tests.support.dashboard import FixedMonitor, dashboard, serve
from tests.support.servers import await_true

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&\x1b[2J\u202eevil\x00\u200b"


def session(id: str, **fields: Any) -> dict[str, Any]:
    """Return the fields of a session of a fleet."""
    known = {
        "id": id, "status": "active", "rev": 1, "kind": "main", "created_at": NOW, "updated_at": NOW, "count": 1, "last_seq": 1,
        "user_messages": 1, "assistant_messages": 0, "turns": 0, "tokens": 1, "read_at": NOW,
    }  # fmt: skip
    return known | fields


def attempt(outcome: str, error: str = "it failed") -> dict[str, Any]:
    """Return the fields of an attempt."""
    return {"outcome": outcome, "worker": "host:1", "started_at": NOW, "ended_at": NOW, "error": error}


def page(client: httpx.Client, path: str, status: int = 200) -> str:
    """Return a page of a status."""
    found = client.get(path)
    assert found.status_code == status, found.text[-2000:]
    return found.text


def texts(html: str, testid: str) -> list[str]:
    """Return the text of each row, item or figure with a test ID."""
    found = re.findall(rf'<(\w+)[^>]*data-testid="{testid}"[^>]*>(.*?)</\1>', html, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", inner).split()) for _, inner in found]


def test_fleet_page_has_problems_first(cache: SessionCache) -> None:
    """The problems come before all tables, each with cause and advice, then agents, leases, charts and spend."""
    times = {"wait_p50": 1, "handling_p95": 2}
    monitor = FixedMonitor(
        read_at=NOW,
        problems=[
            {"kind": "dead_holder", "session_id": "s1", "since": NOW - timedelta(seconds=90), "text": "died", "advice": "wait"},
            {"kind": "no_worker", "agent_id": "writer", "text": "work waits", "advice": "start a worker"},
        ],
        agents=[{"agent_id": "writer", "queued": 3, "oldest_wait": 125, "running": 2, "max_running": 4}],
        sessions=[session("s1", holder="host:9", held_since=NOW - timedelta(seconds=95), lease_expires_at=NOW)],
        spenders=[session("root", spent_tokens=1234567, token_budget=2000000)],
        samples=[
            {"at": NOW - timedelta(minutes=one), "queued": one, "running": 1, "messages_per_second": 2.5, **times}
            for one in range(60, 0, -1)
        ],
    )  # fmt: skip
    with dashboard(cache, monitor=monitor) as running, running.client() as client:
        html = page(client, "/")
    problems = texts(html, "problem")
    assert re.fullmatch(r"✘ dead holder s1 for 1 min \d+ s died → wait", problems[0])
    assert problems[1] == "✘ no worker agent writer work waits → start a worker"
    assert html.index("h-problems") < html.index("h-charts") < html.index("h-agents") < html.index("h-leases")
    assert texts(html, "agent-row") == ["writer 3 2 min 5 s 0 2 of 4 0 0 0 0 0 0"]
    assert re.match(r"s1 ● active host:9 ✘ dead 1 min \d+ s ", texts(html, "lease-row")[0])
    assert "1,234,567" in html
    assert html.count('role="img"') == 4
    assert 'aria-label="Queue depth, runs and turns: queued now 1, at most 60, running now 1, at most 1"' in html
    assert len(html) < 100_000


def test_empty_namespace_is_named(cache: SessionCache) -> None:
    """A page without anything says in which namespace of which server nothing is stored."""
    with dashboard(cache, monitor=FixedMonitor(active=0)) as running, running.client() as client:
        assert texts(page(client, "/"), "empty")[0].startswith(f"Nothing is stored in namespace {cache.namespace} on ")


def test_sessions_page_filters_and_pages(cache: SessionCache) -> None:
    """Filters are those of `list` and the status. A page leads to the next one by a cursor."""
    for number in range(60):
        agent = "writer" if number % 2 else "reader"
        cache.create(f"chat-{number:02}", agent_id=agent, user_id="mia", tags=[f"t{number % 3}"])
    cache.session("chat-07").fail(reason="broken")
    cache.session("chat-08").pause()
    cache.list()  # writes the index entries of the last changes, which would move between two pages
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        first = page(client, "/sessions")
        assert len(texts(first, "session-row")) == 50
        following = re.search(r'rel="next"[^>]*href="([^"]+)"', first)
        assert following is not None
        second = page(client, following[1].replace("&amp;", "&"))
        assert len(texts(second, "session-row")) == 10
        assert 'rel="first"' in second
        assert len(texts(page(client, "/sessions?agent=writer&user=mia"), "session-row")) == 30
        assert len(texts(page(client, "/sessions?tag=t1"), "session-row")) == 20
        assert [row[:7] for row in texts(page(client, "/sessions?status=failed"), "session-row")] == ["chat-07"]
        assert [row[:7] for row in texts(page(client, "/sessions?status=paused"), "session-row")] == ["chat-08"]
        assert texts(page(client, "/sessions?user=leo"), "no-rows") == ["No session matches."]


def test_sessions_page_shows_what_it_read(cache: SessionCache) -> None:
    """A row is as the list has it, also where the read of the fleet is older: a session that ended matches its filter."""
    one = cache.create("job")
    with dashboard(cache) as running, running.client() as client:
        client.get("/")
        await_true(lambda: running.app.state.board.poller.fleet is not None)
        assert [each.id for each in running.app.state.board.poller.fleet.sessions] == ["job"]
        one.append({"role": "user", "content": "x"})
        one.complete()

        def row() -> str:
            html = client.get("/sessions?status=completed").text
            return html[html.index('data-key="job"') :].partition("</tr>")[0] if 'data-key="job"' in html else ""

        await_true(lambda: row() != "")
        assert "s-completed" in row()
        assert '<td class="n">1</td>' in row()


def test_search_finds_whole_and_short_ids(cache: SessionCache) -> None:
    """A whole ID leads to its session. A part of an ID, also a shortened one, leads to the sessions that have it."""
    for id in ("support-42", "support-421", "other/a?b#c%20d"):
        cache.create(id, agent_id="writer")
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        assert client.get("/sessions?q=support-42").headers["location"] == "/session?id=support-42"
        assert len(texts(page(client, "/sessions?q=upport"), "session-row")) == 2
        assert len(texts(page(client, "/sessions?q=supp%E2%80%A6421"), "session-row")) == 1
        assert len(texts(page(client, "/sessions?q=%20two%20words"), "session-row")) == 0
        odd = client.get("/sessions", params={"q": "other/a?b#c%20d"}).headers["location"]
        assert "Session <span" in page(client, odd)


def test_session_page_shows_everything_of_a_session(cache: SessionCache) -> None:
    """Transcript with folded calls, lease, inbox, state, ledger and attempts stand on one page."""
    one = cache.create("s1", agent_id="writer", user_id="mia", system_prompt="Be brief.", state={"step": 3})
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    one.append(
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny."},
    )
    loop = one.start_loop("loop-1", config={"model": "m-1", "provider": "p"})
    loop.record_usage("step-1", {"input": 10, "output": 5, "total": 15})
    with one.lease(owner="worker-7"), dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        one_more = SessionCache(cache).session("s1")
        one_more.send({"role": "user", "content": "and tomorrow?"})
        html = page(client, "/session?id=s1")
    messages = texts(html, "message")
    assert len(messages) == 4
    assert messages[1].endswith("I look. call of get_weather { &#34;city&#34;: &#34;Paris&#34; }")
    assert messages[2].endswith("result of get_weather sunny")
    assert html.count("<details data-kind=") == 2
    assert "worker-7 (fence 1)" in html
    assert texts(html, "inbox") == ["1 of 100 messages wait"]
    assert "&#34;step&#34;: 3" in html
    assert "Be brief." in html
    assert "loop-1" in html
    assert "15 tokens" in html


def test_large_message_is_cut_and_can_be_downloaded(cache: SessionCache) -> None:
    """A message of 1 MB keeps the page small, and its link gives the whole text as an attachment that no browser renders."""
    text = "<b>word</b> " * 80_000
    one = cache.create("s1")
    one.append({"role": "user", "content": text})
    for _ in range(5):
        one.append({"role": "assistant", "content": text[:900_000]})
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        html = page(client, "/session?id=s1")
        assert len(html) < 100_000
        link = re.findall(r'data-testid="cut">This message is cut. <a href="([^"]+)"', html)[0].replace("&amp;", "&")
        whole = client.get(link)
    assert whole.text == text
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.headers["content-disposition"] == 'attachment; filename="s1-1.txt"'
    assert whole.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", ["calls", "markup", "cyrillic", "hidden"])
def test_page_of_large_messages_stays_below_200_kb(cache: SessionCache, kind: str) -> None:
    """Many calls, characters that are sent as escapes, and those with several bytes share the weight of the page."""
    text = {"markup": "<>&\"'" * 800, "cyrillic": "ж" * 4000, "hidden": "\u202e" * 4000}.get(kind, "x")
    calls = [{"type": "tool_use", "id": f"t{at}", "name": "search", "input": {"q": "x" * 150}} for at in range(40)]
    message = {"role": "assistant", "content": calls} if kind == "calls" else {"role": "user", "content": text}
    big = cache.create("big")
    for _ in range(50):
        big.append(message)
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        html = page(client, "/session?id=big")
    assert html.count('data-testid="message"') == 50
    assert html.count('data-testid="cut"') > 30
    assert len(html.encode()) < 200_000


def test_long_transcript_has_pages(cache: SessionCache) -> None:
    """The newest 50 messages are shown, and a link leads to those before."""
    one = cache.create("s1", max_messages=None)
    one.append(*[{"role": "user", "content": f"message {number}"} for number in range(1, 121)])
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        html = page(client, "/session?id=s1")
        assert len(texts(html, "message")) == 50
        assert "before=71" in html
        older = page(client, "/session?id=s1&before=71")
        assert [one.split()[1] for one in texts(older, "message")] == [str(seq) for seq in range(21, 71)]
        assert len(texts(page(client, "/session?id=s1&before=21"), "message")) == 20


def test_tree_page_shows_every_node(cache: SessionCache) -> None:
    """A node shows status, holder, spend and task, and a child leads to the tree of its root."""
    root = cache.create("root", agent_id="lead")
    child = cache.session(root.spawn("worker", label="first", task="dig").raise_if_refused().session_key or "")
    grandchild = cache.session(child.spawn("helper", label="second").raise_if_refused().session_key or "")
    grandchild.start_loop("l").record_usage("s", {"input": 70, "output": 7, "total": 77, "cost": 0.5})
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        html = page(client, f"/tree?id={grandchild.id}")
    assert html.count('data-testid="node"') == 3
    assert texts(html, "spend") == ["77 tokens, cost 0.5000"] * 3
    assert html.count("<details open>") == 2
    assert "dig" in html
    assert "this session" in html


def test_work_page_divides_runs_by_state(cache: SessionCache) -> None:
    """Each state has its count and its rows, those that wait or are held for longest first."""
    monitor = FixedMonitor(
        read_at=NOW,
        sessions=[
            session("young", work="queued", waiting_since=NOW - timedelta(seconds=5)),
            session("old", work="queued", waiting_since=NOW - timedelta(seconds=500), attempts=[attempt("failed")], attempt=1),
            session("parked", work="parked"),
            session("gave-up", work="failed"),
        ],
        failed=[session("broken", status="failed", reason="no disk"), session("late", status="timed_out")],
    )  # fmt: skip
    expected = {
        "waiting": ["old", "young"], "delayed": [], "running": [], "parked": ["parked"], "retried": ["old"],
        "gave_up": ["gave-up"], "failed": ["broken"], "timed_out": ["late"],
    }  # fmt: skip
    with dashboard(cache, monitor=monitor) as running, running.client() as client:
        for state, ids in expected.items():
            html = page(client, f"/work?state={state}")
            assert [row.split()[0] for row in texts(html, "session-row")] == ids, state
        assert "no disk" in page(client, "/work?state=failed")
        assert "must be one of waiting" in page(client, "/work?state=x", 400)
        assert "must be a number from 1 to 1000" in page(client, "/work?page=0", 400)


def test_paused_session_with_work_is_shown_as_paused(cache: SessionCache) -> None:
    """The pause is why its work waits, and work that waits for its time has that time."""
    later = NOW + timedelta(minutes=5)
    monitor = FixedMonitor(read_at=NOW, sessions=[
        session("s1", status="paused", work="queued"), session("s2", work="delayed", available_at=later),
    ])  # fmt: skip
    with dashboard(cache, monitor=monitor) as running, running.client() as client:
        assert re.match("s1 ‖ paused ", texts(page(client, "/work"), "session-row")[0])
        assert f"until {later:%H:%M:%S}" in " ".join(
            texts(page(client, "/work?state=delayed"), "session-row")[0].split()
        )


def test_work_page_has_pages(cache: SessionCache) -> None:
    """A page has 100 rows at most."""
    monitor = FixedMonitor(sessions=[session(f"s{one:03}", work="queued", waiting_since=NOW) for one in range(250)])
    with dashboard(cache, monitor=monitor) as running, running.client() as client:
        sizes = [len(texts(page(client, f"/work?page={number}"), "session-row")) for number in (1, 2, 3, 4)]
    assert sizes == [100, 100, 50, 0]


def test_workers_poison_and_health_pages(cache: SessionCache) -> None:
    """Dead workers, runs with which two workers died, and servers that are down are marked by a word, not only by colour."""
    worker = {
        "id": "w1", "owner": "host:1", "host": "host", "pid": 1, "agents": ["writer"], "concurrency": 4, "holding": ["s1"],
        "ttl": 30, "started_at": NOW, "last_heard_at": NOW, "silent_for": 0, "is_alive": True,
    }  # fmt: skip
    bad = [attempt("died", "the lease ran out"), attempt("failed"), attempt("died", "it died again")]
    monitor = FixedMonitor(
        read_at=NOW,
        workers=[worker, worker | {"id": "w2", "owner": "host:2", "is_alive": False}],
        sessions=[session("poison", work="queued", attempts=bad, attempt=3), session("good", attempts=bad[:2])],
        servers=[
            {"address": "127.0.0.1:1", "is_up": True, "version": "valkey 9.1", "used_memory": 3 * 2**20, "latency": 0.0005},
            {"address": "127.0.0.1:2", "is_up": False, "problem": "it does not answer"},
            {"address": "127.0.0.1:3", "is_up": True, "problem": "it is read-only"},
        ],
    )  # fmt: skip
    with dashboard(cache, monitor=monitor) as running, running.client() as client:
        assert [row.split()[1:3] for row in texts(page(client, "/workers"), "worker-row")] == [
            ["●", "alive"],
            ["✘", "dead"],
        ]
        poison = page(client, "/poison")
        assert poison.count('data-testid="poison-run"') == 1
        assert "it died again" in poison
        servers = texts(page(client, "/health"), "server-row")
    assert [row.split()[2] for row in servers] == ["up", "down", "impaired"]
    assert "3.0 MB" in servers[0]
    assert "0.5 ms" in servers[0]


def test_hostile_text_does_no_harm_on_any_page(cache: SessionCache) -> None:
    """Markup is escaped, and control, direction and hidden characters are shown as escapes, on every page."""
    one = cache.create("s1", name=HOSTILE, metadata={"k": HOSTILE}, state={"k": HOSTILE}, system_prompt=HOSTILE)
    one.append({"role": "user", "content": HOSTILE}, {"role": "tool", "tool_call_id": HOSTILE, "content": HOSTILE})
    one.append({"role": "assistant", "content": [{"type": HOSTILE, "x": HOSTILE}]})
    one.spawn("writer", task=HOSTILE)
    row = session(
        "s1", work="queued", reason=HOSTILE, task=HOSTILE, attempts=[attempt("died", HOSTILE)] * 2, holder="h"
    )
    monitor = FixedMonitor(
        sessions=[row], failed=[row | {"id": "s2", "status": "failed"}],
        problems=[{"kind": "run_failed", "session_id": "s1", "text": HOSTILE, "advice": HOSTILE}],
        agents=[{"agent_id": HOSTILE}], servers=[{"address": HOSTILE, "is_up": False, "problem": HOSTILE}],
    )  # fmt: skip
    paths = ["/", "/sessions", "/session?id=s1", "/tree?id=s1", "/work", "/work?state=failed", "/poison", "/health"]
    paths += ["/action/cancel?id=s1"]
    with dashboard(cache, monitor=monitor, allow_actions=True) as running, running.client() as client:
        for path in paths:
            html = page(client, path)
            assert "alert(1)" in html, path
            assert "\\x1b[2J\\u202eevil\\x00\\u200b" in html, path
            check_harmless(html)
        for path in ("/sessions", "/session", "/tree", "/work", "/nothing"):
            check_harmless(
                client.get(path, params={"id": HOSTILE, "q": HOSTILE, "state": HOSTILE, "status": HOSTILE}).text
            )


def check_harmless(html: str) -> None:
    """Check that a page holds one script, no element of the hostile text, and no character that hides."""
    assert html.count("<script") == 1
    assert "<img" not in html
    assert not set("\x1b\u202e\x00\u200b") & set(html)


def test_wrong_input_gets_one_message(cache: SessionCache) -> None:
    """A session that does not exist, a cursor that was cut and a page that does not exist are answered without a trace."""
    cache.create("s1")
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        for path, status, text in (
            ("/session?id=gone", 404, "gone"), ("/tree?id=gone", 404, "gone"), ("/session", 400, "id: is missing"),
            ("/sessions?cursor=cut", 400, "cursor"), ("/sessions?status=odd", 400, "status: must be one of active"),
            ("/session?id=s1&before=x", 400, "before: must be the seq of a message"), ("/nothing", 404, "Not Found"),
            ("/message?id=s1&seq=9", 400, "the session retains no message 9"), ("/session?id=two%20words", 400, "id"),
            ("/live/nothing", 404, "Not Found"),
        ):  # fmt: skip
            html = page(client, path, status)
            assert text in html, path
            assert "Traceback" not in html
            assert html.count('role="alert"') == 1
        assert cache.namespace in page(client, "/session?id=gone", 404)
        assert client.post("/sessions").status_code == 405


def test_store_that_is_down_is_named(cache: SessionCache) -> None:
    """The page comes up at once, says since when the store is down, and is complete again after the next read."""
    monitor = FixedMonitor()
    monitor.problem = StoreUnavailable(where="redis://db", waited=3.0, detail="it does not answer")
    with dashboard(cache, monitor=monitor) as running, running.client() as client:
        assert re.match(
            r"✘ The store cannot be read since \d\d:\d\d:\d\d UTC", texts(page(client, "/"), "store-down")[0]
        )
        monitor.problem = None
        with client.stream("GET", "/live/fleet"):
            await_true(lambda: not running.app.state.board.poller.problem)
        assert not texts(page(client, "/"), "store-down")


def test_unexpected_error_is_one_message(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    """The page of an error of the dashboard itself names the class, and the log has the rest."""
    monitor = FixedMonitor()
    with dashboard(cache, monitor=monitor) as running, running.client() as client:
        page(client, "/")
        running.app.state.board.poller.fleet = object()
        html = page(client, "/work", 500)
    assert "An error that was not expected (AttributeError)." in html
    assert (
        "Content-Security-Policy".lower() in {name.lower() for name in client.headers}
        or "the page failed" in caplog.text
    )


def test_app_works_below_a_path_of_another_app(cache: SessionCache) -> None:
    """Links, forms, redirects and streams of a mounted dashboard begin with the path at which it is mounted."""
    cache.create("s1").append({"role": "user", "content": "x"})
    outer = Starlette(routes=[Mount("/ops/sessions", dashboard_app(cache, monitor=FixedMonitor(), allow_actions=True))])
    with serve(outer) as running, running.client() as client:
        for path in ("/", "/sessions", "/session?id=s1", "/action/pause?id=s1", "/nothing"):
            html = client.get(f"/ops/sessions{path}").text
            links = re.findall(r'(?:href|src|action|data-live)="([^"#]*)"', html)
            assert len(links) > 8
            own = [link for link in links if not link.startswith("/live/")]
            assert all(link.startswith("/ops/sessions/") for link in own), own
        assert client.get("/ops/sessions/static/page.js").status_code == 200
        assert client.get("/ops/sessions/sessions?q=s1").headers["location"] == "/ops/sessions/session?id=s1"
        with client.stream("GET", "/ops/sessions/live/fleet") as stream:
            assert stream.status_code == 200


def test_fleet_of_ten_thousand_sessions_is_a_small_page(cache: SessionCache) -> None:
    """With 10,000 sessions and 200 problems every page stays below 200 KB with script and style."""
    work = {"work": "queued", "task": "t" * 300}
    rows = [
        session(f"agent:researcher:subagent:{one:032}", waiting_since=NOW, holder="host:123", held_since=NOW, **work)
        for one in range(10_000)
    ]  # fmt: skip
    monitor = FixedMonitor(
        active=10_000, sessions=rows, failed=rows[:200], spenders=rows[:100],
        problems=[{"kind": "long_wait", "session_id": one["id"], "text": "x" * 300, "advice": "y" * 200} for one in rows[:200]],
        agents=[{"agent_id": f"agent-{one}"} for one in range(300)],
        samples=[{"at": NOW + timedelta(seconds=5 * one), "queued": one, "running": 1, "wait_p50": 0.1} for one in range(720)],
    )  # fmt: skip
    with dashboard(cache, monitor=monitor) as running, running.client() as client:
        assets = sum(len(client.get(f"/static/{name}").content) for name in ("page.js", "page.css", "icon.svg"))
        for path in ("/", "/work", "/work?page=2", "/workers", "/poison", "/health"):
            assert len(page(client, path).encode()) + assets < 200_000, path


def test_parts_are_json_in_streams(cache: SessionCache) -> None:
    """The data of an event is one line of JSON, whatever the text holds."""
    monitor = FixedMonitor(problems=[{"kind": "server", "text": "two\nlines\r\nevent: x", "advice": "\n\n"}])
    with (
        dashboard(cache, monitor=monitor) as running,
        running.client() as client,
        client.stream("GET", "/live/fleet") as stream,
    ):
        data = next(line for line in stream.iter_lines() if line.startswith("data: "))
    assert "two\nlines" in json.loads(data.removeprefix("data: "))["problems"]


def test_encrypted_session_without_key_is_explained(cache: SessionCache) -> None:
    """Encrypted messages leave the facts readable. With everything encrypted one message says what the dashboard lacks."""
    cipher = AesGcm(KeyRing({"k1": b"1" * 32}, current="k1"))
    for id, encode in (("messages", EVERYTHING[:1]), ("everything", EVERYTHING)):
        secret = SessionCache(cache, codecs=[cipher], encode=encode).create(
            id, metadata={"a": 1}, state={"b": "secret"}
        )
        secret.append({"role": "user", "content": "secret"})
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        html = page(client, "/session?id=messages")
        assert "The transcript is not whole: " in html
        everything = page(client, "/session?id=everything", 422)
        assert "REDIS_SESSIONS_CODECS" in everything
        assert ">secret<" not in html
        with client.stream("GET", "/live/session?id=everything") as stream:
            assert stream.status_code == 422
    readable = SessionCache(cache, codecs=[cipher], encode=EVERYTHING)
    with dashboard(readable, monitor=FixedMonitor()) as running, running.client() as client:
        assert ">secret</div>" in page(client, "/session?id=everything")


def test_damaged_message_is_shown_at_its_place(cache: SessionCache) -> None:
    """A message that another program broke is marked at its place, and what an edit removed is not."""
    one = cache.create("s1", max_messages=None)
    one.append(*[{"role": "user", "content": f"text {number}"} for number in range(1, 6)])
    one.replace(after_seq=4)
    one.append({"role": "user", "content": "text 6"})
    keys = session_keys(cache.namespace, "s1")
    for at in (0, 2, 4):
        cache._executor.run(Call(("LSET", keys.messages, at, "broken"), keys, lambda reply: reply))
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        html = page(client, "/session?id=s1")
    assert re.findall(r'data-testid="(message|damaged)" data-seq="(\d+)"', html) == [
        ("damaged", "1"), ("message", "2"), ("damaged", "3"), ("message", "4"), ("damaged", "6"),
    ]  # fmt: skip
    assert "the stored message is damaged" in html
    assert "doctor --repair" in html


def test_many_damaged_messages_leave_the_way_to_older_ones(cache: SessionCache) -> None:
    """The page of a long transcript with damage shows its newest messages, and links to the older ones."""
    one = cache.create("s1", max_messages=None)
    one.append(*[{"role": "user", "content": f"text {number}"} for number in range(1, 121)])
    keys = session_keys(cache.namespace, "s1")
    for at in range(110, 120):
        cache._executor.run(Call(("LSET", keys.messages, at, "broken"), keys, lambda reply: reply))
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        html = page(client, "/session?id=s1")
        assert (len(texts(html, "message")), len(texts(html, "damaged"))) == (50, 10)
        older = page(client, "/session?id=s1&before=61")
        assert (len(texts(older, "message")), len(texts(older, "damaged"))) == (50, 0)
