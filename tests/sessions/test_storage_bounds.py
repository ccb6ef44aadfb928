"""The bounds of what is stored: each at its bound and one above, with nothing half written, and bounds that are not valid."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import (
    AsyncSessionCache,
    BoundExceeded,
    InvalidInput,
    SessionCache,
    SessionsError,
    StorageBounds,
)
from redis_sessions._core.commands import trees
from redis_sessions._core.protocol.call import Call
from redis_sessions.bounds import MAX_WIRE_BYTES

Write = Callable[[Any, int], None]
"""Stores a value of a size in a cache."""
X = {"role": "user", "content": "x"}


def text_json(size: int) -> str:
    """Return a text that has `size` bytes as JSON, with its quotes, and fewer characters than bytes."""
    return "é" + "x" * (size - 4)


def tool_call(number: int) -> dict[str, Any]:
    """Return a message that makes one tool call."""
    calls = [{"id": f"call_{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def open_session(cache: SessionCache) -> Any:
    """Return the session of a test."""
    return cache.get_or_create("s", agent_id="main")


def open_loop(cache: SessionCache) -> Any:
    """Return the loop of a test."""
    session = open_session(cache)
    return session.loop("l") if session.ledger().loops else session.start_loop("l")


SIZES: dict[str, tuple[str, Write]] = {
    "name_bytes": ("name", lambda cache, size: open_session(cache).patch(name="x" * size)),
    "type_bytes": (
        "type",
        lambda cache, size: open_session(cache).patch(
            type={"type": "conversation", "purpose": "x" * (size - len('{"type":"conversation","purpose":""}'))}
        ),
    ),
    "tags": ("tags", lambda cache, size: open_session(cache).patch(tags=[f"t{at}" for at in range(size)])),
    "tag_bytes": ("tags", lambda cache, size: open_session(cache).patch(tags=["x" * size, "a"])),
    "system_prompt_bytes": ("system_prompt", lambda cache, size: open_session(cache).patch(system_prompt="x" * size)),
    "metadata_bytes": ("metadata", lambda cache, size: open_session(cache).patch(metadata={"k": text_json(size - 1)})),
    "state_bytes": ("state", lambda cache, size: open_session(cache).state.put("k", text_json(size - 1))),
    "variables_bytes": ("variables", lambda cache, size: open_session(cache).variables.put("k", "x" * (size - 1))),
    "task_bytes": ("task", lambda cache, size: open_session(cache).spawn("a", task="x" * size)),
    "reference_bytes": (
        "spawned_by",
        lambda cache, size: open_session(cache).spawn(
            "a", spawned_by={"tool_call_id": "x" * (size - len('{"tool_call_id":""}'))}
        ),
    ),
    "result_bytes": ("result", lambda cache, size: open_session(cache).complete(text_json(size))),
    "batch_messages": ("messages", lambda cache, size: open_session(cache).append(*[X] * size)),
    "batch_calls": ("messages", lambda cache, size: open_session(cache).append(*map(tool_call, range(size)))),
    "loop_config_bytes": (
        "config",
        lambda cache, size: open_session(cache).start_loop(continuation="x" * (size - len('{"continuation":""}'))),
    ),
    "loop_metadata_bytes": ("metadata", lambda cache, size: open_loop(cache).put_metadata({"k": "x" * (size - 8)})),
    "loop_event_bytes": ("event", lambda cache, size: open_loop(cache).add_event(text_json(size))),
}
"""For each bound of a size: the argument that is too large, and how it is stored."""
BOUND = 100


def stored(cache: SessionCache) -> Any:
    """Return what the tests can change."""
    session = cache.get("s")
    if session is None:
        return None
    children = [one.id for one in session.children()]
    return session.info().model_dump(exclude={"read_at", "expires_in"}), session.state.all(), session.ledger(), children


@pytest.mark.parametrize("bound", sorted(SIZES))
def test_value_at_its_bound_is_stored_and_one_above_is_refused(url: str, namespace: str, bound: str) -> None:
    """A value of the size of its bound is stored, and one that is larger by one names the bound and writes nothing."""
    name, write = SIZES[bound]
    with SessionCache.from_url(url, namespace=namespace, bounds={bound: BOUND}) as cache:
        open_session(cache)
        if bound.startswith("loop_"):
            open_loop(cache)
        before = stored(cache)
        with pytest.raises(InvalidInput) as caught:
            write(cache, BOUND + 1)
        assert str(caught.value).startswith(f"{name}: must have at most {BOUND}")
        assert f"({bound}), got {BOUND + 1}: store less, or give the cache bounds=StorageBounds({bound}=…)" in str(
            caught.value
        )
        assert stored(cache) == before
        write(cache, BOUND)


def test_every_value_above_its_bound_is_refused_by_async_cache(url: str, namespace: str) -> None:
    """The asyncio cache refuses the same values as the other."""

    async def check() -> None:
        async with AsyncSessionCache.from_url(
            url, namespace=namespace, bounds=StorageBounds(**dict.fromkeys(set(SIZES) - {"tags"}, BOUND))
        ) as cache:
            session = await cache.create("s")
            loop = await session.start_loop("l")
            long = "x" * (BOUND + 1)
            for call in (
                cache.create("t", name=long), cache.create("t", metadata={"k": long}), session.patch(system_prompt=long),
                session.state.put("k", long), session.variables.put("k", long), session.append(*[X] * (BOUND + 1)),
                session.append(X, state={"k": long}), session.replace(*[X] * (BOUND + 1)), session.fork(name=long),
                session.spawn("a", task=long), session.complete(long), loop.add_event(long), loop.put_metadata({"k": long}),
                session.start_loop(continuation=long), session.import_messages([X] * (BOUND + 1)),
                cache.conversation("c", name=long), cache.main_session("a", tags=[long]),
            ):  # fmt: skip
                with pytest.raises(InvalidInput, match=r"StorageBounds\("):
                    await call
            assert (await session.info()).rev == 1

    asyncio.run(check())


def test_reason_longer_than_its_bound_is_cut(url: str, namespace: str) -> None:
    """A reason of a session, a request or a loop is stored within its bound, with a mark."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"reason_bytes": 64}) as cache:
        session = cache.create("s")
        loop = session.start_loop("l")
        loop.abort("é" * 1000)
        session.fail(reason="é" * 1000)
        for reason in (session.info().reason, session.ledger().loops[0].reason):
            assert reason is not None
            assert len(reason.encode()) <= 64
            assert reason.endswith("… (cut, 1,000 characters)")


def test_batch_of_too_many_bytes_is_refused_and_one_large_message_is_not(url: str, namespace: str) -> None:
    """Messages of one append share a bound of bytes, and a single message has that of its session."""
    large = {"role": "user", "content": "x" * 3000}
    with SessionCache.from_url(url, namespace=namespace, bounds={"batch_bytes": 4000}) as cache:
        session = cache.create("s")
        with pytest.raises(InvalidInput, match=r"messages: must have at most 4000 bytes of UTF-8 \(batch_bytes\)"):
            session.append(large, large)
        assert session.info().count == 0
        session.append({"role": "user", "content": "x" * 9000})
        session.append(large, X)


TOTALS: dict[str, Write] = {
    "metadata_bytes": lambda cache, at: open_session(cache).patch(metadata={f"key {at}": "x" * 26}),
    "state_bytes": lambda cache, at: open_session(cache).state.put(f"key {at}", "x" * 26),
    "variables_bytes": lambda cache, at: open_session(cache).variables.put(f"key {at}", "x" * 28),
    "agents": lambda cache, at: cache.get_or_create(f"s{at}", answered_by=f"a{at}"),
    "documents": lambda cache, at: cache.documents("c").put(f"d{at}", "x"),
    "categories": lambda cache, at: cache.documents(f"c{at}").put("d", "x"),
}
"""For each bound of a total: how a third of it is stored."""


@pytest.mark.parametrize("bound", sorted(TOTALS))
def test_total_above_its_bound_is_refused(url: str, namespace: str, bound: str) -> None:
    """Three parts fill a bound, a fourth part names it and is not stored, and a part can be replaced."""
    maximum = 102 if bound.endswith("_bytes") else 3
    with SessionCache.from_url(url, namespace=namespace, bounds={bound: maximum}) as cache:
        for at in range(3):
            TOTALS[bound](cache, at)
        TOTALS[bound](cache, 1)
        for _ in range(2):
            with pytest.raises(BoundExceeded, match=rf"give the cache bounds=StorageBounds\({bound}=…\)") as caught:
                TOTALS[bound](cache, 4)
            assert (caught.value.limit, caught.value.max) == (bound, maximum)
            assert caught.value.current == (132 if bound.endswith("_bytes") else 4)


def test_removed_values_make_room(url: str, namespace: str) -> None:
    """Values that were removed, cleared or replaced by shorter ones do not count any more, in forks and imports, too."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"state_bytes": 100, "variables_bytes": 60}) as cache:
        session = cache.create("s")
        for _ in range(3):
            session.state.put("a", "x" * 80)
            with pytest.raises(BoundExceeded, match="state_bytes of 's' would be 116"):
                session.state.put("b", "x" * 30)
            with pytest.raises(BoundExceeded, match="state_bytes"):
                session.append(X, state={"b": "x" * 30})
            with pytest.raises(BoundExceeded, match="state_bytes"):
                session.state.add("n" * 30)
            session.state.delete("a")
            session.append(X, state={"b": "x" * 90}, remove_state=["a", "c"])
            session.append(remove_state=["b", "b"])
            session.state.put("a", "x" * 80)
            session.state.put("a", "x")
            session.variables.put("v", "x" * 50)
            session.state.put("b", "x" * 70)
            assert session.state.clear() == 2
            assert session.variables.clear() == 1
        session.state.put("a", "x" * 80)
        fork = session.fork()
        cache.delete("s")
        cache.import_sessions(list(fork.export()), on_conflict="replace")
        for _ in range(2):
            with pytest.raises(BoundExceeded, match="would be 116"):
                cache.session(fork.id).state.put("b", "x" * 30)


def test_values_that_one_call_removes_make_room_for_those_that_it_sets(url: str, namespace: str) -> None:
    """A call that sets and removes values is bounded by their sum after it, and a name in both is removed."""
    bounds = {"state_bytes": 100, "metadata_bytes": 100, "values": 3}
    with SessionCache.from_url(url, namespace=namespace, bounds=bounds) as cache:
        session = cache.create(metadata={"m": "x" * 80})
        session.state.put("a", "x" * 80)
        session.append(X, state={"b": "x" * 90}, remove_state=["a"])
        session.append(X, state={"c": 1, "d": 1}, remove_state=["b"])
        session.append(X, state={"e": "x" * 80}, remove_state=["c", "d"])
        session.patch(metadata={"n": "x" * 90}, remove_metadata=["m"])
        for _ in range(3):
            session.patch(metadata={"n": 1, "o": "x" * 90}, remove_metadata=["n"])
            session.patch(metadata={"n": "x" * 90}, remove_metadata=["n", "o"])
        with pytest.raises(BoundExceeded, match="state_bytes"):
            session.append(X, state={"f": "x" * 60}, remove_state=["missing"])
        assert (session.state.all(), session.info().metadata) == ({"e": "x" * 80}, {})
        session.patch(metadata={"p": "x" * 90})


def test_import_above_bounds_of_its_cache_is_refused(url: str, namespace: str) -> None:
    """An import obeys the bounds of the importing cache, and writes nothing."""
    with SessionCache.from_url(url, namespace=namespace) as cache:
        session = cache.create("s", metadata={"k": "x" * 200}, tags=["a", "b"])
        lines = list(session.export())
        session.delete()
    for bounds, expected in (({"metadata_bytes": 100}, "metadata_bytes"), ({"tags": 1}, "tags")):
        with SessionCache.from_url(url, namespace=namespace, bounds=bounds) as cache:
            with pytest.raises(InvalidInput, match=rf"StorageBounds\({expected}=…\)"):
                cache.import_sessions(lines)
            assert cache.get("s") is None
    with SessionCache.from_url(url, namespace=namespace, bounds={"metadata_bytes": 1000}) as cache:
        cache.import_sessions(lines)


def test_reader_above_the_bound_is_refused(url: str, namespace: str) -> None:
    """A reader beyond the bound is refused, and the reader before goes on."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"readers": 1}) as cache:
        session = cache.create("s")
        seen: list[Any] = []
        events = session.watch(timeout=20)
        first = threading.Thread(target=lambda: seen.append(next(iter(events))))
        first.start()
        due = time.monotonic() + 10
        while not cache._executor.run(_subscribers(session)):
            assert time.monotonic() < due
        with pytest.raises(BoundExceeded, match="readers of 's' would be 2"):
            session.wait_for_reply(99, timeout=5)
        session.append(X)
        first.join(10)
        assert [event.message.content for event in seen] == ["x"]


def test_join_above_the_bound_is_refused(url: str, namespace: str) -> None:
    """A join beyond the bound of waiters is refused, and a repetition of the first one is not."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"waiters": 1}) as cache:
        session = cache.create("s")
        session.spawn("a")
        for nonce in ("n1", "n1", "n2"):
            call = trees.list_members(session._keys, "", nonce=nonce, wait_ms=60_000, channel="c", max_waiters=1)
            if nonce == "n1":
                cache._executor.run(call)
        with pytest.raises(BoundExceeded, match="waiters of 's' would be 2"):
            session.join(timeout=5)


def _subscribers(session: Any) -> Any:
    return Call(("HGET", session._keys.session, "subscribers"), session._keys, lambda reply: reply, writes=False)


@pytest.mark.parametrize("bound", sorted(StorageBounds.model_fields))
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "100", None, 2**41])
def test_bound_that_is_not_valid_is_refused(bound: str, value: Any) -> None:
    """A bound is a whole number of at least 1 and at most what the server takes, and the error says both."""
    with pytest.raises(InvalidInput, match=rf"bounds\.{bound}: must be a whole number from \d+ to \d+, got "):
        SessionCache.from_url("fake://", bounds={bound: value})


def test_unknown_bound_is_refused() -> None:
    """An unknown bound is refused with the names of all bounds, and so is what is neither bounds nor a mapping."""
    with pytest.raises(InvalidInput, match=r"bounds\.tag: is not a bound; valid bounds are agents, .*variables_bytes"):
        SessionCache.from_url("fake://", bounds={"tag": 1})
    with pytest.raises(InvalidInput, match="bounds: must be StorageBounds or a mapping, got 5"):
        SessionCache.from_url("fake://", bounds=5)  # type: ignore[arg-type]
    assert StorageBounds(name_bytes=MAX_WIRE_BYTES).name_bytes == MAX_WIRE_BYTES
    with pytest.raises(SessionsError, match=r"bounds\.name_bytes"):
        StorageBounds(name_bytes=MAX_WIRE_BYTES + 1)


def test_values_above_their_number_are_refused(url: str, namespace: str) -> None:
    """Metadata, state and variables share a bound of their number, and a value that leaves makes room."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"values": 10_000}) as cache:
        state = {f"name {number}": number for number in range(4500)}
        assert cache.create("many", state=state).state.all() == state
    with SessionCache.from_url(url, namespace=namespace, bounds={"values": 3}) as cache:
        session = cache.create("s", metadata={"a": 1})
        session.state.put("a", 1)
        session.variables.put("a", "1")
        calls: list[Callable[[], object]] = [
            lambda: session.state.put("b", 1), lambda: session.state.add("b"), lambda: session.variables.put("b", "1"),
            lambda: session.patch(metadata={"b": 1}), lambda: session.append(X, state={"b": 1}),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(BoundExceeded, match="values of 's' would be 4"):
                call()
        session.state.put("a", 2)
        session.patch(remove_metadata=["a", "a"])
        session.state.add("b")
        session.state.clear()
        session.patch(metadata={"a": 1, "b": 2}, name="n")
        with pytest.raises(BoundExceeded, match="values of 's' would be 4"):
            session.state.put("b", 1)
        with pytest.raises(InvalidInput, match=r"values: must have at most 3 \(values\), got 4"):
            session.patch(metadata={str(n): n for n in range(4)})


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("remove_state", lambda session, names: session.append(remove_state=names)),
        ("remove_metadata", lambda session, names: session.patch(remove_metadata=names)),
        ("if_state", lambda session, names: session.append(X, if_state=dict.fromkeys(names))),
        ("names", lambda session, names: session.append(X, remove_shared={"scope": names})),
    ],
)
def test_names_of_one_call_are_bounded(cache: SessionCache, name: str, call: Callable[[Any, list[str]], Any]) -> None:
    """A call that names more values than a session or a scope may have is refused, so that no script works for long."""
    session = cache.create()
    call(session, [f"n{number}" for number in range(2000)])
    rev = session.info().rev
    with pytest.raises(InvalidInput, match="must have at most 2000") as refused:
        call(session, [f"n{number}" for number in range(2001)])
    assert refused.value.name == name
    assert session.info().rev == rev


def test_wanted_values_are_bounded_by_the_bytes_of_the_state(cache: SessionCache) -> None:
    """Values of `if_state` that no state can have, because of their size, are refused before they are sent."""
    session = cache.create()
    with pytest.raises(InvalidInput, match="state_bytes") as refused:
        session.append(X, if_state={"a": "x" * 2**20})
    assert refused.value.name == "if_state"
