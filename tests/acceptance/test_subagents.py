"""Multi-agent sessions (S5): keys, spawns, labels, messages, lists, ends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from redis_sessions import Message, SessionCache, SessionNotActive, SessionNotFound
from tests.trees.children import key_of


def test_main_session_has_key_of_its_agent(cache: SessionCache) -> None:
    """A main session has the key of its agent, is of kind main and is active (4-01)."""
    session = cache.main_session("main")
    info = session.info()
    assert (session.id, info.kind, info.status) == ("agent:main:main", "main", "active")


def test_main_session_starts_empty(cache: SessionCache) -> None:
    """A main session has no label, task, parent, finish time or messages (4-02)."""
    info = cache.main_session("main").info()
    assert (info.label, info.task, info.parent_id, info.finished_at, info.count) == (None, None, None, None, 0)


def test_child_is_found_by_its_label(cache: SessionCache) -> None:
    """A child is found by its label, with its key and task (4-03)."""
    main = cache.main_session("main")
    key = key_of(main.spawn("main", task="Research topic X", label="research"))
    info = cache.session(key).info()
    assert "subagent" in key
    assert (info.kind, info.task, info.label) == ("subagent", "Research topic X", "research")
    found = cache.by_label("research", root=main.id)
    assert found is not None
    assert found.id == key


def test_concurrent_spawns_have_unique_keys(cache: SessionCache) -> None:
    """Children that are spawned at once have unique keys and run IDs, and the key of their parent (4-04)."""
    main = cache.main_session("main", max_children=None, max_active=None)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: main.spawn("helper"), range(24)))
    keys = {key_of(result) for result in results}
    assert len(keys) == len({result.run_id for result in results}) == 24
    assert all(key.startswith("agent:helper:subagent:") for key in keys)
    assert {cache.session(key).info().parent_id for key in keys} == {main.id}


def test_unknown_label_finds_none(cache: SessionCache) -> None:
    """A label that is unknown or belongs to another tree finds None (4-05)."""
    main = cache.main_session("main")
    main.spawn("helper", label="research").raise_if_refused()
    main.spawn("helper").raise_if_refused()
    assert cache.by_label("other", root=main.id) is None
    assert cache.by_label("research", root=cache.main_session("second").id) is None


def test_history_has_sent_message_and_answer(cache: SessionCache) -> None:
    """A history without tools has the sent message and the answer (4-06)."""
    session = cache.main_session("main")
    session.send("Hello")
    session.append(Message("assistant", "Hi there!"))
    found = session.history(10, include_tools=False)
    assert [(message.role, message.content) for message in found] == [("user", "Hello"), ("assistant", "Hi there!")]


def test_history_returns_newest_messages(cache: SessionCache) -> None:
    """A history has the newest messages of all roles, and an unknown session is an error (4-07, 4-08)."""
    session = cache.main_session("main")
    session.append(
        *[Message("user", str(n)) for n in range(3)], Message("tool", "r", tool_call_id="c"), Message("system", "s")
    )
    assert [message.role for message in session.history(3)] == ["user", "tool", "system"]
    assert [message.role for message in session.history(3, include_tools=False)] == ["user", "user", "system"]
    with pytest.raises(SessionNotFound):
        cache.session("agent:none:main").history()


def test_send_to_inactive_session_is_refused(cache: SessionCache) -> None:
    """A send to an ended session names the status, and a send to an unknown session names the key (4-09)."""
    session = cache.main_session("main")
    session.complete()
    with pytest.raises(SessionNotActive, match="completed"):
        session.send("Hello")
    assert session.info().count == 0
    with pytest.raises(SessionNotFound, match="agent:none:main"):
        cache.session("agent:none:main").send("Hello")


def test_last_hundred_messages_are_retained(cache: SessionCache) -> None:
    """A session retains its last 100 messages by default (4-10)."""
    session = cache.main_session("main")
    session.append(*[Message("user", str(n)) for n in range(105)])
    assert [message.content for message in session.history()] == [str(n) for n in range(5, 105)]


def test_sessions_are_listed_by_kind(cache: SessionCache) -> None:
    """A list has the main session and its two children, or only the children (4-11)."""
    main = cache.main_session("main")
    for task in ("Task 1", "Task 2"):
        main.spawn("main", task=task).raise_if_refused()
    assert len(cache.list().items) == cache.count() == 3
    assert [one.task for one in cache.list(kinds=["subagent"]).items] in (["Task 2", "Task 1"], ["Task 1", "Task 2"])


def test_newest_session_is_listed_first(cache: SessionCache) -> None:
    """A list is ordered by creation, filters combine before the limit, and a limit of 0 or no kinds list nothing (4-12)."""
    main = cache.main_session("main")
    cron = cache.create("nightly", kind="cron")
    children = [key_of(main.spawn("helper")) for _ in range(3)]
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
    """An agent has one main session (4-13)."""
    assert cache.main_session("a").id == cache.main_session("a").id != cache.main_session("b").id
    assert cache.count(kinds=["main"]) == 2


def test_ended_session_has_finish_time(cache: SessionCache) -> None:
    """An ended session has its finish time and reason, and an unknown session is an error (4-14, 4-15)."""
    done, failed = cache.main_session("a"), cache.main_session("b")
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


def test_runtime_grows_until_the_end(cache: SessionCache) -> None:
    """The runtime is in whole seconds and stops at the end (4-16)."""
    session, ended = cache.create(), cache.create()
    ended.complete()
    stopped = ended.info().runtime
    time.sleep(1.01)
    assert session.info().runtime >= 1
    info = ended.info()
    assert info.finished_at is not None
    assert info.runtime == stopped == int((info.finished_at - info.created_at).total_seconds())


def test_sessions_have_one_of_three_kinds(cache: SessionCache) -> None:
    """A kind is main, subagent or cron, in lower case (4-17)."""
    main = cache.main_session("a")
    child = cache.session(key_of(main.spawn("a")))
    assert [one.info().kind for one in (main, child, cache.create(kind="cron"))] == ["main", "subagent", "cron"]


def test_spawn_result_has_status_run_id_key_and_reason(cache: SessionCache) -> None:
    """A spawn result has the status, the run ID, the key and the reason of a refusal (4-18)."""
    main = cache.main_session("main", max_children=1)
    result = main.spawn("helper")
    assert (result.status, result.reason) == ("accepted", None)
    assert cache.session(key_of(result)).info().incarnation == result.run_id
    assert key_of(result) in result.message
    refused = main.spawn("helper")
    assert (refused.status, refused.run_id, refused.session_key) == ("forbidden", None, None)


def test_one_cache_serves_all_threads(cache: SessionCache) -> None:
    """Eight threads send through one cache without a lock, and no message is lost (4-19)."""
    main = cache.main_session("main")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: cache.main_session("main").send(str(n)), range(40)))
    assert sorted(int(message.content) for message in main.history()) == list(range(40))
