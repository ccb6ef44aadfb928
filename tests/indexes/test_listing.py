"""Lists of sessions: filters, order, pages, cursors and counts."""

from __future__ import annotations

import itertools
import random
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionSummary
from redis_sessions._core.commands.index_entries import RAISE_INTERVAL_MS
from redis_sessions._sync.services import listing
from tests.conftest import Engines
from tests.support.index_agreement import clients, rewrite_times
from tests.support.servers import Server

X = {"role": "user", "content": "x"}
INEXACT = timedelta(milliseconds=RAISE_INTERVAL_MS + 500)


def ids(items: list[SessionSummary]) -> list[str]:
    """Return the IDs of listed sessions."""
    return [summary.id for summary in items]


def all_pages(cache: SessionCache, size: int, **filters: Any) -> list[str]:
    """Return the IDs of all pages of a size, one page after another."""
    found, cursor = [], None
    while True:
        page = cache.list(size, cursor, **filters)
        found += ids(page.items)
        cursor = page.cursor
        if cursor is None:
            return found


def test_list_is_ordered_newest_first(cache: SessionCache) -> None:
    """Sessions are ordered by their last update or by their creation, also after one of them was written."""
    for name in ("a", "b", "c"):
        cache.create(name)
    cache.session("a").append(X)
    assert ids(cache.list().items) == ["a", "c", "b"]
    assert ids(cache.list(order="created").items) == ["c", "b", "a"]
    assert cache.list().cursor is None


def test_combined_filters_list_sessions_that_match_all(cache: SessionCache) -> None:
    """A session is listed if it has the user, the agent, all tags and one of the kinds, and unknown values give an empty page."""
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
    for page in (cache.list(user="eve"), cache.list(tags=["green"]), cache.list(kinds=[]), cache.list(0)):
        assert page == ([], None)


def test_active_only_omits_paused_sessions(cache: SessionCache) -> None:
    """A paused session is listed with its status, but not among the active sessions."""
    cache.create("a").pause()
    assert cache.list(active_only=True).items == []
    assert cache.list().items[0].status == "paused"


def test_label_agent_and_kind_filters_find_children(cache: SessionCache) -> None:
    """A spawned session is listed by its label, agent and kind, together with its task and parent."""
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
    assert cache.list(kinds=["main"]).items[0].active_descendants == 2


def test_summary_has_values_of_its_session(cache: SessionCache) -> None:
    """A summary has the counts, times, tags, metadata and lease holder of its session."""
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


def test_pages_list_each_session_once_in_order(cache: SessionCache) -> None:
    """Pages of any size list each session once, and a cursor of another query is refused."""
    for number in range(23):
        cache.create(f"s{number:02}", user_id="mia", tags=["even"] if number % 2 == 0 else None)
    wanted = [f"s{number:02}" for number in reversed(range(23))]
    for size in (1, 5, 22, 23, 24):
        assert all_pages(cache, size, user="mia") == wanted
    assert ids(list(cache.iter_sessions(tags=["even"], user="mia"))) == wanted[::2]
    cursor = cache.list(5, user="mia").cursor
    refused: list[Callable[[], object]] = [
        lambda: cache.list(5, cursor, user="bob"),
        lambda: cache.list(5, cursor, user="mia", order="created"),
        lambda: cache.list(5, "not a cursor", user="mia"),
        lambda: cache.list(5, "bm9uc2Vuc2U", user="mia"),
        lambda: cache.list(5, urlsafe_b64encode(b"[" * 100_000).decode(), user="mia"),
        lambda: cache.list(-1),
        lambda: cache.list(1001),
        lambda: cache.list(order="name"),  # type: ignore[arg-type]
        lambda: cache.list(ascending="yes"),  # type: ignore[arg-type]
        lambda: cache.list(active_only=1),  # type: ignore[arg-type]
        lambda: cache.list(kinds=["other"]),
        lambda: cache.list(tags="red"),  # type: ignore[arg-type]
        lambda: cache.list(user="a b"),
    ]
    for call in refused:
        with pytest.raises(InvalidInput):
            call()


@pytest.mark.parametrize("order", ["created", "updated"])
def test_ascending_pages_list_each_session_once_oldest_first(cache: SessionCache, order: Any) -> None:
    """Ascending pages of any size list each session once, from the oldest to the newest, with and without filters."""
    for number in range(23):
        cache.create(f"s{number:02}", user_id="mia", tags=["even"] if number % 2 == 0 else None)
    wanted = [f"s{number:02}" for number in range(23)]
    for size in (1, 5, 22, 23, 24):
        assert all_pages(cache, size, user="mia", order=order, ascending=True) == wanted
    assert all_pages(cache, 4, tags=["even"], user="mia", order=order, ascending=True) == wanted[::2]
    assert all_pages(cache, 7, order=order, ascending=True) == wanted
    cursor = cache.list(5, user="mia", order=order, ascending=True).cursor
    with pytest.raises(InvalidInput, match="another query"):
        cache.list(5, cursor, user="mia", order=order)


def test_session_written_between_ascending_pages_moves_to_the_last(cache: SessionCache) -> None:
    """A session that is written between two ascending pages is on the last one, and no other session is missing."""
    for name in ("a", "b", "c", "d"):
        cache.create(name)
    page = cache.list(2, ascending=True)
    assert ids(page.items) == ["a", "b"]
    cache.session("c").append(X)
    cache._context.indexer.flush()
    rest = cache.list(50, page.cursor, ascending=True)
    assert ids(rest.items) == ["d", "c"]


def test_summaries_have_the_values_of_the_state_that_are_named(cache: SessionCache) -> None:
    """A list reads the named values of each session, leaves out those without a value, and reads none by default."""
    cache.create("a").state.patch({"step": {"at": 1}, "n": 3, "other": "x"})
    cache.create("b").state.put("n", None)
    cache.create("c")
    page = cache.list(order="created", ascending=True, state=("step", "n"))
    assert [one.state for one in page.items] == [{"step": {"at": 1}, "n": 3}, {"n": None}, {}]
    assert [one.state for one in cache.iter_sessions(order="created", state=["n"])] == [{}, {"n": None}, {"n": 3}]
    assert cache.list().items[0].state == {}
    first = cache.list(1, order="created", state=["n"])
    assert ids(cache.list(1, first.cursor, order="created").items) == ["b"]
    for names in ("step", [7], [""], [f"n{at}" for at in range(51)]):
        with pytest.raises(InvalidInput):
            cache.list(state=names)  # type: ignore[arg-type]


def test_lagging_entries_are_listed_once_and_repaired(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """Pages list each session once however old its entry is, and after that the order is that of the sessions' own times."""
    servers = clients(cache, engine, engines)
    names = [f"s{number}" for number in range(60)]
    for name in names:
        cache.create(name, user_id="mia")
    base = time.time_ns() // 1000 - 3_600_000_000
    for seed in range(6):
        chance = random.Random(seed)
        times = {name: base + chance.randrange(20_000_000) // chance.choice((1, 1000000)) for name in names}
        for name, updated in times.items():
            entry = updated - chance.choice((0, 5_000_000, 60_000_000))
            rewrite_times(servers, namespace, name, updated=updated, entry=entry, user="mia")
        size = chance.randint(1, 25)
        assert sorted(all_pages(cache, size, user="mia")) == sorted(names), f"seed {seed}, pages of {size}"
        cache._context.indexer.flush()
        found = all_pages(cache, size, user="mia")
        assert found == sorted(names, key=lambda name: (times[name], name), reverse=True), (
            f"seed {seed}, pages of {size}"
        )


def test_order_is_exact_to_two_seconds_while_sessions_are_written(
    cache: SessionCache, url: str, namespace: str
) -> None:
    """Each page is in order, and all pages are in order to 2 s, although other threads write half of the sessions."""
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
            updated = [summary.updated_at for summary in page.items]
            assert updated == sorted(updated, reverse=True)
            if updated:  # the sessions of the last page may all have moved to the first
                assert last is None or updated[0] <= last + INEXACT
                last = updated[-1]
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
    listed = list(cache.iter_sessions(user="mia"))
    assert all(later.updated_at <= sooner.updated_at + INEXACT for sooner, later in itertools.pairwise(listed))
    assert len({summary.id for summary in listed}) == len(listed) == len(names)


def test_sessions_with_equal_times_are_all_listed(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """Sessions with one time are all listed, although a page has room for few of them, as after an import."""
    servers = clients(cache, engine, engines)
    now = time.time_ns() // 1000 - 60_000_000
    names = [f"s{number}" for number in range(50)]
    for name in names:
        cache.create(name, user_id="mia")
        rewrite_times(servers, namespace, name, updated=now, entry=now, user="mia")
    found = all_pages(cache, 3, user="mia")
    assert sorted(found) == sorted(names)


def test_deleted_and_expired_sessions_are_not_listed(cache: SessionCache) -> None:
    """Deleted and expired sessions leave the lists at once, although the index may still have their entries."""
    cache.create("a")
    cache.create("b", ttl=0.05)
    cache.create("c")
    cache.delete("c")
    time.sleep(0.08)
    assert ids(cache.list().items) == ["a"]


def test_count_returns_number_of_matching_sessions(cache: SessionCache) -> None:
    """A count with one filter reads an index, and a count with several filters lists the sessions."""
    for number in range(7):
        cache.create(user_id="mia" if number % 2 else "bob", agent_id="x" if number < 3 else "y")
    cache.create("gone", user_id="mia").complete()
    cache._context.indexer.flush()
    assert (cache.count(), cache.count(user="mia"), cache.count(user="mia", active_only=True)) == (8, 4, 3)
    assert cache.count(user="mia", agent="x") == 1


def test_page_takes_two_round_trips_and_no_key_scan(server: Server, namespace: str) -> None:
    """A page reads index entries and named hashes in two round trips, and never scans the keys."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        for number in range(150):
            cache.create(f"s{number}", user_id="mia")
        cache._context.indexer.flush()
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
        cache.list(50, user="mia", state=["step"], ascending=True)
        assert int(server.client.info("stats")["total_reads_processed"]) - before - 1 == 2
    server.client.flushall()


def test_touch_restores_lost_index_entry(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """A session whose index was deleted is listed again after its next touch."""
    cache.create("a", user_id="mia")
    cache._context.indexer.flush()
    for server in clients(cache, engine, engines):
        for zset in list(server.scan_iter(match=f"{namespace}:*:user:*")):
            server.delete(zset)
    assert cache.list(user="mia").items == []
    cache.session("a").touch()
    cache._context.indexer.flush()
    assert ids(cache.list(user="mia").items) == ["a"]


def test_own_writes_are_listed_first_in_their_order(cache: SessionCache) -> None:
    """A process lists the sessions that it wrote last in the order of these writes, although it raises entries each 2 s."""
    for number in range(30):
        cache.create(f"s{number}", user_id="mia")
    for number in (3, 7, 5, 3):
        cache.session(f"s{number}").append(X)
    assert ids(cache.list(3, user="mia").items) == ["s3", "s5", "s7"]
    cache.session("s9").append(X)
    assert all_pages(cache, 1, user="mia")[:5] == ["s9", "s3", "s5", "s7", "s29"]


def test_page_beyond_many_expired_sessions_ends_early(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at a bounded number of entries, and its cursor leads to the living sessions behind them."""
    monkeypatch.setattr(listing, "_MIN_LOOKED_AT", 100)
    cache.create("alive", tags=["t"])
    for number in range(130):
        cache.create(f"dead{number}", tags=["t"], ttl=0.05)
    time.sleep(0.1)
    page = cache.list(5, tags=["t"])
    assert page.items == []
    assert page.cursor is not None
    assert ids(cache.list(5, page.cursor, tags=["t"]).items) == ["alive"]
    assert all_pages(cache, 5, tags=["t"]) == ["alive"]
