"""Multi-agent sessions (S5): keys, spawning, labels, messages, listing, ends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from redis_sessions import Message, SessionCache, SessionNotActive, SessionNotFound
from tests.trees.test_spawn import spawned


def test_a_main_session_has_the_key_of_its_agent(cache: SessionCache) -> None:
    """4-01: kind main, active."""
    session = cache.main("main")
    info = session.info()
    assert (session.id, info.kind, info.status) == ("agent:main:main", "main", "active")


def test_a_main_session_begins_with_nothing(cache: SessionCache) -> None:
    """4-02: no label, task, parent or finish time; no messages. Its run id is its life."""
    info = cache.main("main").info()
    assert (info.label, info.task, info.parent_id, info.finished_at, info.count) == (None, None, None, None, 0)


def test_a_child_is_found_by_its_label(cache: SessionCache) -> None:
    """4-03: under its key, with its task."""
    main = cache.main("main")
    key = spawned(main.spawn("main", task="Research topic X", label="research"))
    info = cache.session(key).info()
    assert "subagent" in key
    assert (info.kind, info.task, info.label) == ("subagent", "Research topic X", "research")
    found = cache.by_label("research", root=main.id)
    assert found is not None
    assert found.id == key


def test_a_child_has_a_key_and_a_run_id_of_its_own(cache: SessionCache) -> None:
    """4-04: also when many are spawned at one instant; and its parent's key."""
    main = cache.main("main", max_children=None, max_concurrent=None)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: main.spawn("helper"), range(24)))
    keys = {spawned(result) for result in results}
    assert len(keys) == len({result.run_id for result in results}) == 24
    assert all(key.startswith("agent:helper:subagent:") for key in keys)
    assert {cache.session(key).info().parent_id for key in keys} == {main.id}


def test_an_unknown_label_finds_none(cache: SessionCache) -> None:
    """4-05: nor does one of another tree."""
    main = cache.main("main")
    main.spawn("helper", label="research").raise_if_refused()
    main.spawn("helper").raise_if_refused()
    assert cache.by_label("other", root=main.id) is None
    assert cache.by_label("research", root=cache.main("second").id) is None


def test_the_history_has_what_was_sent_and_answered(cache: SessionCache) -> None:
    """4-06: ten without tools."""
    session = cache.main("main")
    session.send("Hello")
    session.append(Message("assistant", "Hi there!"))
    found = session.history(10, include_tools=False)
    assert [(message.role, message.content) for message in found] == [("user", "Hello"), ("assistant", "Hi there!")]


def test_the_history_is_the_end_of_it(cache: SessionCache) -> None:
    """4-07, 4-08: with tools all roles; an unknown session is an error, not an empty history."""
    session = cache.main("main")
    session.append(
        *[Message("user", str(n)) for n in range(3)], Message("tool", "r", tool_call_id="c"), Message("system", "s")
    )
    assert [message.role for message in session.history(3)] == ["user", "tool", "system"]
    assert [message.role for message in session.history(3, include_tools=False)] == ["user", "user", "system"]
    with pytest.raises(SessionNotFound):
        cache.session("agent:none:main").history()


def test_who_is_not_active_is_sent_nothing(cache: SessionCache) -> None:
    """4-09: the error names the status; of an unknown one, the key."""
    session = cache.main("main")
    session.complete()
    with pytest.raises(SessionNotActive, match="completed"):
        session.send("Hello")
    assert session.info().count == 0
    with pytest.raises(SessionNotFound, match="agent:none:main"):
        cache.session("agent:none:main").send("Hello")


def test_the_last_hundred_messages_stay(cache: SessionCache) -> None:
    """4-10: by default."""
    session = cache.main("main")
    session.append(*[Message("user", str(n)) for n in range(105)])
    assert [message.content for message in session.history()] == [str(n) for n in range(5, 105)]


def test_sessions_are_listed_by_kind(cache: SessionCache) -> None:
    """4-11: a main one and two children: all three, or just the two."""
    main = cache.main("main")
    for task in ("Task 1", "Task 2"):
        main.spawn("main", task=task).raise_if_refused()
    assert len(cache.list().items) == cache.count() == 3
    assert [one.task for one in cache.list(kinds=["subagent"]).items] in (["Task 2", "Task 1"], ["Task 1", "Task 2"])


def test_the_newest_is_listed_first(cache: SessionCache) -> None:
    """4-12: by creation; filters combine, then the limit cuts; 0 is none, no kinds are none, unsaid they are all."""
    main = cache.main("main")
    cron = cache.create("nightly", kind="cron")
    children = [spawned(main.spawn("helper")) for _ in range(3)]
    main.send("Hello")
    cache.session(children[1]).complete()
    newest = [*reversed(children), cron.id, main.id]

    def listed(limit: int = 50, **filters: object) -> list[str]:
        return [one.id for one in cache.list(limit, order="created", **filters).items]  # type: ignore[arg-type]

    assert listed() == newest
    assert listed(2) == newest[:2]
    assert listed(kinds=["subagent"], active_only=True) == [children[2], children[0]]
    assert listed(1, kinds=["subagent", "cron"], active_only=True) == [children[2]]
    assert listed(kinds=["cron", "main"]) == [cron.id, main.id]
    assert listed(0) == listed(kinds=[]) == []


def test_each_agent_has_one_main_session(cache: SessionCache) -> None:
    """4-13."""
    assert cache.main("a").id == cache.main("a").id != cache.main("b").id
    assert cache.count(kinds=["main"]) == 2


def test_an_end_has_a_time(cache: SessionCache) -> None:
    """4-14, 4-15: of a completed and of a failed one, with its reason; an unknown session is an error."""
    done, failed = cache.main("a"), cache.main("b")
    done.complete()
    failed.fail(reason="no network")
    for session, status in ((done, "completed"), (failed, "failed")):
        info = session.info()
        assert info.status == status
        assert info.finished_at is not None
        assert info.created_at <= info.finished_at
    assert failed.info().reason == "no network"
    with pytest.raises(SessionNotFound):
        cache.session("agent:none:main").complete()


def test_the_run_time_grows_until_the_end(cache: SessionCache) -> None:
    """4-16: in whole seconds."""
    session, ended = cache.create(), cache.create()
    ended.complete()
    time.sleep(1.01)
    assert session.info().runtime >= 1
    assert ended.info().runtime == 0


def test_there_are_three_kinds(cache: SessionCache) -> None:
    """4-17, decided on purpose: in lower case; statuses are those of all systems, see 0-09."""
    main = cache.main("a")
    child = cache.session(spawned(main.spawn("a")))
    assert [one.info().kind for one in (main, child, cache.create(kind="cron"))] == ["main", "subagent", "cron"]


def test_a_spawn_answers_with_four_facts(cache: SessionCache) -> None:
    """4-18, decided on purpose: in snake case, and why it was refused."""
    main = cache.main("main", max_children=1)
    result = main.spawn("helper")
    assert (result.status, result.reason) == ("accepted", None)
    assert cache.session(spawned(result)).info().life == result.run_id
    assert spawned(result) in result.message
    refused = main.spawn("helper")
    assert (refused.status, refused.run_id, refused.session_key) == ("forbidden", None, None)


def test_one_cache_serves_all_threads(cache: SessionCache) -> None:
    """4-19: without a lock of the caller's; nothing is lost."""
    main = cache.main("main")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: cache.main("main").send(str(n)), range(40)))
    assert sorted(int(message.content) for message in main.history()) == list(range(40))
