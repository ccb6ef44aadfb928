"""Deltas of the answer that is being made: replayed to watchers that connect again, without gaps and doubles."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionEvent
from redis_sessions._core.commands import deltas, messages
from redis_sessions._core.commands.watch_progress import WatchPosition, WatchProgress, WatchSnapshot
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._core.protocol.notifications import Notification
from tests.conftest import Engines
from tests.support.index_agreement import clients
from tests.support.watcher import Watcher, X, until

ANSWER = {"role": "assistant", "content": "Hello"}


def seen(session: Any, **options: Any) -> list[SessionEvent]:
    """Return what a watch yields that ends after a short silence."""
    return list(session.watch(**{"timeout": 0.2, **options}))


def data(events: list[SessionEvent]) -> list[Any]:
    """Return the data of deltas, and the kinds of other events."""
    return [event.data if event.kind == "delta" else event.kind for event in events]


def test_deltas_of_answer_are_replayed_in_order(cache: SessionCache) -> None:
    """A watcher that begins in the middle of an answer gets all deltas of the answer, numbered from 1, then those to come."""
    session = cache.create("a")
    session.append(X)
    for number in range(5):
        session.publish(number)
    events = seen(session)
    assert data(events) == ["message", 0, 1, 2, 3, 4]
    assert [event.number for event in events[1:]] == [1, 2, 3, 4, 5]
    watcher = Watcher(session.watch())
    watcher.until(lambda events: len(events) == 6)
    session.publish(5)
    session.append(ANSWER)
    session.complete()
    assert data(watcher.end()) == ["message", 0, 1, 2, 3, 4, 5, "message", "status"]


def test_watch_resumes_in_the_middle_of_an_answer(cache: SessionCache) -> None:
    """A watch from the cursor of each event yields exactly the events behind the event, deltas and heartbeats included."""
    session = cache.create("a")
    session.append(X)
    for number in range(4):
        session.publish(number)
    events = seen(session, heartbeat=0.1, timeout=0.3)
    beat = next(event for event in events if event.kind == "heartbeat")
    stored = [event for event in events if event.kind != "heartbeat"]
    for at, event in enumerate(stored):
        assert seen(session, cursor=event.cursor) == stored[at + 1 :]
    assert beat.cursor == stored[-1].cursor
    assert seen(session, after_seq=1) == stored[1:]
    assert seen(session, after_seq=None) == []


def test_message_ends_answer_in_the_same_step(cache: SessionCache) -> None:
    """After each way to append a message no delta of the answer before is yielded, and the next answer begins with 1."""
    ways: list[Callable[[Any], object]] = [
        lambda session: session.append(ANSWER),
        lambda session: session.append(ANSWER, ANSWER),
        lambda session: session.append(ANSWER, state={"n": 1}),
        lambda session: session.send("hi"),
        lambda session: session.append_new(ANSWER, ids=["m1"]),
    ]
    for number, append in enumerate(ways):
        session = cache.create(f"a{number}")
        session.append(X)
        session.publish("old")
        before = seen(session)[-1].cursor
        append(cache.session(session.id))
        assert set(data(seen(session))) == {"message"}
        session.publish("new")
        assert (data(seen(session))[-1], seen(session)[-1].number) == ("new", 1)
        assert "old" not in data(seen(session, cursor=before))


def test_append_of_the_publisher_removes_the_deltas(cache: SessionCache, engine: str, engines: Engines) -> None:
    """The append of the process that published removes the key of the deltas. Of a child, too, whose append names ancestors."""
    root = cache.create("root")
    child = cache.session(root.spawn("a", mode="session").session_key or "")
    for session in (root, child):
        session.append(X)
        session.publish("x")
        assert stored_elements(cache, engine, engines, session.id) == 1
        session.append(ANSWER)
        assert stored_elements(cache, engine, engines, session.id) == 0


def stored_elements(cache: SessionCache, engine: str, engines: Engines, id: str) -> int:
    """Return how many deltas are stored of a session."""
    key = session_keys(cache.namespace, id).deltas
    return sum(client.llen(key) for client in clients(cache, engine, engines) if [*client.scan_iter(key_pattern(key))])


def key_pattern(key: str) -> str:
    """Return the pattern for SCAN that only a key matches. A node of a cluster answers it also for a key of another node."""
    return key.replace("[", "?")


def test_deletion_removes_the_deltas(cache: SessionCache, engine: str, engines: Engines) -> None:
    """A deletion removes the deltas of a session and of those below it. A session of the same ID does not have them."""
    root = cache.create("root", user_id="mia")
    child = cache.session(root.spawn("a", mode="session").session_key or "")
    for session in (root, child):
        session.publish("x")
    root.delete()
    assert [stored_elements(cache, engine, engines, id) for id in ("root", child.id)] == [0, 0]
    again = cache.create("root", user_id="mia")
    assert seen(again) == []
    again.publish("x")
    cache.forget("mia")
    assert stored_elements(cache, engine, engines, "root") == 0


def test_restart_voids_the_deltas_before(cache: SessionCache) -> None:
    """An answer that begins again has the number 1, for present watchers and for those that come later."""
    session = cache.create("a")
    watcher = Watcher(session.watch())
    session.publish("wrong")
    watcher.until(lambda events: len(events) == 1)
    session.publish("right", restart=True)
    session.publish("!")
    events = watcher.until(lambda events: len(events) == 3)
    assert [(event.data, event.number) for event in events] == [("wrong", 1), ("right", 1), ("!", 2)]
    assert seen(session) == events[1:]
    assert seen(session, cursor=events[0].cursor) == events[1:]
    session.complete()
    watcher.end()
    with pytest.raises(InvalidInput, match="restart"):
        session.publish("x", restart="yes")  # type: ignore[arg-type]


def test_deltas_beyond_their_bound_lose_the_oldest(url: str, namespace: str) -> None:
    """The deltas of one answer have at most `deltas_bytes`. The numbers of those that are left say what is missing."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"deltas_bytes": 1000}) as cache:
        session = cache.create("a")
        for number in range(50):
            session.publish(number)
        numbers = [event.number for event in seen(session)]
        assert numbers == list(range(42, 51))  # nine of at most 102 bytes
        session.publish("y" * 5000)
        events = seen(session)
        assert [(event.number, len(event.data)) for event in events] == [(51, 5000)]
        session.publish("z")
        assert [event.number for event in seen(session, cursor=events[0].cursor)] == [52]


def test_deltas_leave_the_session_as_it_was(cache: SessionCache) -> None:
    """Deltas change no revision, no count and no time of a session, and are not exported or copied."""
    session = cache.create("a")
    session.append(X)
    before = session.info()
    facts = ("rev", "count", "last_seq", "tokens", "updated_at")
    for number in range(3):
        session.publish(f"marker {number}")
    assert [getattr(session.info(), fact) for fact in facts] == [getattr(before, fact) for fact in facts]
    assert "marker" not in "".join(session.export())
    assert data(seen(session.fork())) == ["message"]


def test_deltas_expire_with_the_session(cache: SessionCache, engine: str, engines: Engines) -> None:
    """Deltas are kept for 10 minutes, and at most as long as their session."""
    for id, ttl, longest in (("a", "1h", 600_000), ("b", "1m", 60_000), ("c", None, 600_000)):
        session = cache.create(id, ttl=ttl)
        session.publish("x")
        key = session_keys(cache.namespace, id).deltas
        servers = clients(cache, engine, engines)
        (left_ms,) = [server.pttl(key) for server in servers if [*server.scan_iter(key_pattern(key))]]
        assert longest - 30_000 < left_ms <= longest


def test_watchers_that_come_and_go_see_each_delta_once(cache: SessionCache) -> None:
    """Watchers that break off at any event and resume see each delta and each message once, in order, while answers are made."""
    session = cache.create("a")
    session.append(X)
    found: list[SessionEvent] = []

    def answer() -> None:
        for turn in range(4):
            for number in range(40):
                session.publish([turn, number])
            until(lambda turn=turn: found and found[-1].data == [turn, 39], 60)  # type: ignore[misc]
            session.append({"role": "assistant", "content": str(turn)})
        session.complete()

    thread = threading.Thread(target=answer)
    chance, cursor = random.Random(7), "0-0"
    thread.start()
    while not (found and found[-1].is_final):
        for event in cache.session("a").watch(cursor=cursor, timeout=30):
            found.append(event)
            cursor = event.cursor
            if chance.random() < 0.1:
                break
    thread.join()
    assert [event.seq for event in found if event.kind == "message"] == [1, 2, 3, 4, 5]
    shown = [(event.seq, event.data, event.number) for event in found if event.kind == "delta"]
    assert shown == [(turn + 1, [turn, number], number + 1) for turn in range(4) for number in range(40)]


def test_slow_watcher_gets_the_deltas_that_it_missed(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher whose queue overflows reads the deltas that it dropped, so it loses none."""
    monkeypatch.setattr("redis_sessions._sync.services.watcher._MAX_QUEUED", 5)
    session = cache.create("a")
    events = session.watch(timeout=5)
    session.publish(0)
    found = [next(events).data]
    for number in range(1, 100):
        session.publish(number)
    while len(found) < 100:
        found.append(next(events).data)
    assert found == list(range(100))


def test_watch_of_many_replays_deltas(cache: SessionCache) -> None:
    """A watch of many sessions resumes in the middle of the answer of each session that `after` names."""
    sessions = [cache.create(id, user_id="mia") for id in ("a", "b", "c")]
    for session in sessions:
        session.publish(1)
        session.publish(2)
    first = seen(sessions[0])[0]
    events = list(cache.watch(user="mia", after={"a": first.cursor, "b": 0}, timeout=0.3))
    assert sorted((event.session_id, event.data) for event in events) == [("a", 2), ("b", 1), ("b", 2)]


def test_repeated_publish_is_stored_once(cache: SessionCache) -> None:
    """A publish whose reply was lost, and which is sent again, leaves one delta."""
    session = cache.create("a")
    call = deltas.publish(session._keys, "", "x", False, cache._context.bounds)
    for elapsed_ms in (0, 5):
        if elapsed_ms:
            call.mark_retry(elapsed_ms)
        cache._context.executor.run(call)
    session.publish("y")
    assert data(seen(session)) == ["x", "y"]


def test_deltas_cost_no_other_call_anything(cache: SessionCache) -> None:
    """An append names one key more behind a publish of its process, and else none."""
    session = cache.create("a")
    call = messages.append(session._keys, "", "", [X], cache._context.counter)
    assert call.command[2] == 2
    call.last_keys = (session._keys.deltas,)
    assert call.command[2] == 3


def _heard(progress: WatchProgress, fact: bytes) -> list[Any] | None:
    events = progress.apply(Notification("delta", data=fact), session_keys("n", "a"))
    return None if events is None else [event.data for event in events]


def test_heard_delta_is_yielded_once_or_makes_the_watcher_read() -> None:
    """The next delta is an event. One that was seen is none. One behind unknown messages or deltas makes the watcher read."""
    progress = WatchProgress("a", WatchPosition())
    progress.check(WatchSnapshot("i", 5, 0, False, []))
    list(progress.catch_up(WatchSnapshot("i", 5, 5, False, []), [], 5))
    assert _heard(progress, b'100 5 1 "a"') == ["a"]
    assert _heard(progress, b'100 5 1 "a"') == []
    assert _heard(progress, b'100 5 3 "c"') is None
    assert _heard(progress, b'100 5 2 "b"') == ["b"]
    assert _heard(progress, b'100 4 3 "z"') == []
    assert _heard(progress, b'100 6 1 "z"') is None
    assert _heard(progress, b'99 5 1 "z"') == []
    assert _heard(progress, b'101 5 1 "a"') == ["a"]
    assert _heard(progress, b"101 5 2 {") == []
    assert _heard(progress, b'101 5 2 "b"') == []  # its place was taken by the one that is not valid
    for fact in (b"", b"x", b'"x"', b"1 2 3", b'-1 2 3 "x"', b'1 2 x "x"', b'%s 5 1 "x"' % (b"9" * 400)):
        assert _heard(progress, fact) == []


def test_unread_delta_is_never_stored_on_an_ended_session(cache: SessionCache, engine: str, engines: Engines) -> None:
    """A session that has ended takes no delta, because no watcher could get it."""
    session = cache.create("a")
    session.complete()
    session.publish("x")
    assert stored_elements(cache, engine, engines, "a") == 0
