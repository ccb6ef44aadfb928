"""Lists: filters, order, pages, cursors, counts."""

from __future__ import annotations

import random
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionSummary
from redis_sessions._core import indexes
from redis_sessions._core.keys import session_keys
from tests.conftest import Engines
from tests.indexes.agreement import clients, rewrite
from tests.servers import Server

X = {"role": "user", "content": "x"}


def ids(items: list[SessionSummary]) -> list[str]:
    return [one.id for one in items]


def paged(cache: SessionCache, size: int, **asked: Any) -> list[str]:
    """All pages of that size, one after another."""
    found, cursor = [], None
    while True:
        page = cache.list(size, cursor, **asked)
        found += ids(page.items)
        cursor = page.cursor
        if cursor is None:
            return found


def test_the_newest_come_first(cache: SessionCache) -> None:
    """By their last update or by their creation, also when a session was written in the meantime."""
    for name in ("a", "b", "c"):
        cache.create(name)
    cache.session("a").append(X)
    assert ids(cache.list().items) == ["a", "c", "b"]
    assert ids(cache.list(order="created").items) == ["c", "b", "a"]
    assert cache.list().cursor is None


def test_filters_combine(cache: SessionCache) -> None:
    """User, agent, tags (all of them), kinds (any of them) and active only; unknown ones are an empty page."""
    cache.create("a", user_id="mia", agent_id="x", tags=["red", "blue"])
    cache.create("b", user_id="mia", agent_id="y", tags=["red"], kind="cron")
    cache.create("c", user_id="bob", agent_id="x", tags=["blue"])
    cache.session("b").complete()
    assert ids(cache.list(user="mia").items) == ["b", "a"]
    assert ids(cache.list(user="mia", active_only=True).items) == ["a"]
    assert ids(cache.list(agent="x").items) == ["c", "a"]
    assert ids(cache.list(user="mia", agent="x").items) == ["a"]
    assert ids(cache.list(tags=["red", "blue"]).items) == ["a"]
    assert ids(cache.list(kinds=["cron"]).items) == ["b"]
    assert ids(cache.list(kinds=["main", "cron"], user="mia").items) == ["b", "a"]
    for nothing in (cache.list(user="nobody"), cache.list(tags=["green"]), cache.list(kinds=[]), cache.list(0)):
        assert nothing == ([], None)


def test_paused_sessions_are_not_active(cache: SessionCache) -> None:
    """They come with the others, with their status."""
    cache.create("a").pause()
    assert cache.list(active_only=True).items == []
    assert cache.list().items[0].status == "paused"


def test_children_are_found_by_label_agent_and_kind(cache: SessionCache) -> None:
    """As subagents, with what they were told to do."""
    root = cache.create("root")
    child = root.spawn("researcher", task="find it", label="bags").session_key
    root.spawn("writer")
    for found in (
        cache.list(label="bags"),
        cache.list(agent="researcher"),
        cache.list(kinds=["subagent"], agent="researcher"),
    ):
        assert ids(found.items) == [child]
    summary = cache.list(label="bags").items[0]
    assert (summary.task, summary.root_id, summary.parent_id) == ("find it", "root", "root")
    assert ids(cache.list(kinds=["main"]).items) == ["root"]
    assert cache.list(kinds=["main"]).items[0].active_below == 2


def test_a_summary_says_what_the_session_says(cache: SessionCache) -> None:
    """Its counts, times, tags, pointers and who holds its lease."""
    session = cache.create("a", user_id="mia", name="n", tags=["t"], metadata={"active_seed_id": "s1", "project_id": 7})
    session.append(X, {"role": "assistant", "content": "y"}, X)
    with session.lease(owner="me"):
        summary, info = cache.list().items[0], session.info()
        assert summary.holder == "me"
    assert (summary.user_messages, summary.assistant_messages, summary.exchanges, summary.count) == (2, 1, 1, 3)
    assert (summary.created_at, summary.updated_at, summary.name, summary.tags) == (
        info.created_at, info.updated_at, "n", ["t"],
    )  # fmt: skip
    assert (summary.active_seed_id, summary.project_id, summary.is_active) == ("s1", None, True)


def test_pages_go_on_where_the_last_one_ended(cache: SessionCache) -> None:
    """Each session once, in order, whatever the size of a page; a cursor is its query's alone."""
    for number in range(23):
        cache.create(f"s{number:02}", user_id="mia", tags=["even"] if number % 2 == 0 else None)
    wanted = [f"s{number:02}" for number in reversed(range(23))]
    for size in (1, 5, 22, 23, 24):
        assert paged(cache, size, user="mia") == wanted
    assert ids(list(cache.sessions(tags=["even"], user="mia"))) == wanted[::2]
    cursor = cache.list(5, user="mia").cursor
    wrong: list[Callable[[], object]] = [
        lambda: cache.list(5, cursor, user="bob"),
        lambda: cache.list(5, cursor, user="mia", order="created"),
        lambda: cache.list(5, "nonsense", user="mia"),
        lambda: cache.list(5, "bm9uc2Vuc2U", user="mia"),
        lambda: cache.list(5, urlsafe_b64encode(b"[" * 100_000).decode(), user="mia"),
        lambda: cache.list(-1),
        lambda: cache.list(1001),
        lambda: cache.list(order="name"),  # type: ignore[arg-type]
        lambda: cache.list(kinds=["other"]),
        lambda: cache.list(tags="red"),  # type: ignore[arg-type]
        lambda: cache.list(user="a b"),
    ]
    for refused in wrong:
        with pytest.raises(InvalidInput):
            refused()


def test_the_order_is_exact_however_far_entries_lag(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """Of sessions that are marked: the pages are what sorting by the sessions' own times gives."""
    servers = clients(cache, engine, engines)
    if len(servers) > 1:
        pytest.skip("one server's raw client is needed; the same code reads the indexes of a cluster")
    names = [f"s{number}" for number in range(60)]
    for name in names:
        cache.create(name, user_id="mia")
    cache._home.indexes.catch_up()
    base = time.time_ns() // 1000 - 3_600_000_000
    for seed in range(12):
        chance = random.Random(seed)
        times = {name: base + chance.randrange(20_000_000) // chance.choice((1, 1000000)) for name in names}
        for name, updated in times.items():
            entry = updated - chance.choice((0, chance.randrange(10_000_000)))
            rewrite(servers[0], namespace, name, updated=updated, entry=entry, user="mia")
            if entry < updated:
                cache._home.calls.run(indexes.mark(namespace, session_keys(namespace, name).tag, [name], "somebody"))
        size = chance.randint(1, 25)
        found = paged(cache, size, user="mia")
        assert found == sorted(names, key=lambda name: (times[name], name), reverse=True), (
            f"seed {seed}, pages of {size}"
        )


def test_the_order_is_exact_while_sessions_are_written(cache: SessionCache, url: str, namespace: str) -> None:
    """Each page is in order and behind the one before; what nobody wrote comes once; at rest all are where they belong."""
    names = [f"s{number:03}" for number in range(120)]
    for name in names:
        cache.create(name, user_id="mia")
    written, over = set(names[::2]), threading.Event()
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with SessionCache.from_url(url, namespace=namespace) as other:
                while not over.is_set():
                    other.session(chance.choice(sorted(written))).append(X)
        except BaseException as problem:
            failures.append(problem)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(0 if url == "fake://" else 3)]
    for writer in writers:
        writer.start()
    for _ in range(6):
        found, cursor, last = [], None, None
        while True:
            page = cache.list(9, cursor, user="mia")
            for one in page.items:
                assert last is None or one.updated_at <= last
                last = one.updated_at
            found += ids(page.items)
            cursor = page.cursor
            if cursor is None:
                break
        assert len(found) == len(set(found))
        assert [name for name in found if name not in written] == [
            name for name in reversed(names) if name not in written
        ]
    over.set()
    for writer in writers:
        writer.join()
    assert failures == []
    by_time = sorted(cache.sessions(user="mia"), key=lambda one: one.updated_at, reverse=True)
    listed = list(cache.sessions(user="mia"))
    assert [one.updated_at for one in listed] == [one.updated_at for one in by_time]
    assert len(listed) == len(names)


def test_many_of_one_moment_are_all_listed(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """As an import can leave them: more entries of one time than a page has room for."""
    servers = clients(cache, engine, engines)
    if len(servers) > 1:
        pytest.skip("one server's raw client is needed")
    now = time.time_ns() // 1000 - 60_000_000
    names = [f"s{number}" for number in range(50)]
    for name in names:
        cache.create(name, user_id="mia")
        rewrite(servers[0], namespace, name, updated=now, entry=now, user="mia")
    found = paged(cache, 3, user="mia")
    assert sorted(found) == sorted(names)


def test_what_is_gone_is_not_listed(cache: SessionCache) -> None:
    """Deleted or expired, at once, whatever the index still says."""
    cache.create("a")
    cache.create("b", ttl=0.05)
    cache.create("c")
    cache.delete("c")
    time.sleep(0.08)
    assert ids(cache.list().items) == ["a"]


def test_counts(cache: SessionCache) -> None:
    """By the indexes for one filter, by listing where filters combine."""
    for number in range(7):
        cache.create(user_id="mia" if number % 2 else "bob", agent_id="x" if number < 3 else "y")
    cache.create("gone", user_id="mia").complete()
    cache._home.indexes.catch_up()
    assert (cache.count(), cache.count(user="mia"), cache.count(user="mia", active_only=True)) == (8, 4, 3)
    assert cache.count(user="mia", agent="x") == 1


def test_a_page_is_three_round_trips_and_no_scan(server: Server, namespace: str) -> None:
    """Read off the server: it is asked for entries and for hashes by name, and never for its keys."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        for number in range(150):
            cache.create(f"s{number}", user_id="mia")
        cache._home.indexes.catch_up()
        cache.list(user="mia")
        sent: list[str] = []
        with server.client.monitor() as monitor:
            cursor = None
            for _ in range(3):
                cursor = cache.list(50, cursor, user="mia").cursor
            server.client.ping()
            for command in monitor.listen():
                word = command["command"].split()[0].upper()
                if word == "PING":
                    break
                sent.append(word)
        assert {"KEYS", "SCAN"}.isdisjoint(sent)
        assert "EVALSHA" in sent
        before = int(server.client.info("stats")["total_reads_processed"])
        cache.list(50, user="mia")
        assert int(server.client.info("stats")["total_reads_processed"]) - before - 1 <= 3
    server.client.flushall()


def test_an_index_that_was_lost_comes_back(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """With the next touch of each session."""
    cache.create("a", user_id="mia")
    cache._home.indexes.catch_up()
    for server in clients(cache, engine, engines):
        for zset in list(server.scan_iter(match=f"{namespace}:*:user:*")):
            server.delete(zset)
    assert cache.list(user="mia").items == []
    cache.session("a").touch()
    cache._home.indexes.catch_up()
    assert ids(cache.list(user="mia").items) == ["a"]


def test_what_is_written_is_listed_though_its_entry_is_read_and_passed_over(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """One of a shard with few entries, all of them read, beside others with newer ones."""
    servers = clients(cache, engine, engines)
    cache.create("a")
    for number in range(30):
        cache.create(f"s{number}")
    cache._home.indexes.catch_up()
    old = time.time_ns() // 1000 - 60_000_000
    for server in servers:
        for key in server.scan_iter(match=f"{namespace}:*:all:main:active:updated:"):
            server.zadd(key, {"a": old}, xx=True)
    cache._home.indexes._fresh.clear()
    cache.session("a").append(X)
    assert ids(cache.list(1).items) == ["a"]
