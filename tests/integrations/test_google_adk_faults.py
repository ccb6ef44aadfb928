"""The session service of google-adk under faults: killed processes, lost replies, many threads and event loops; and its costs."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.genai import types

from redis_sessions import AsyncSession, InvalidInput, OutcomeUnknown, SessionCache, StoreUnavailable
from redis_sessions._async.services import shared_scopes
from redis_sessions._async.transport import connections, tasks
from redis_sessions.integrations.google_adk import RedisSessionsSessionService, _sessions
from redis_sessions.integrations.google_adk._names import id_of
from tests.conftest import REAL_ENGINES, Engines
from tests.faults.test_round_trips import count_scripts
from tests.support.attempts import repeat_if_dearer
from tests.support.processes import CONTEXT
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server

NAMES: dict[str, Any] = {"app_name": "shop", "user_id": "mia", "session_id": "one"}
WRITERS = 4
SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))


def event(text: str, delta: dict[str, Any] | None = None, author: str = "agent") -> Event:
    """Return an event with a text and changes of the state."""
    content = types.Content(role="model", parts=[types.Part(text=text)])
    return Event(author=author, invocation_id="i", content=content, actions=EventActions(state_delta=delta or {}))


async def append(service: RedisSessionsSessionService, one: Event, **names: Any) -> None:
    """Append an event as a caller does that reads the session again when it is stale, and repeats what is unknown."""
    while True:
        session = await service.get_session(**{**NAMES, **names})
        assert session is not None
        try:
            await service.append_event(session, one)
            return
        except StaleSessionError:
            await asyncio.sleep(0)
        except OutcomeUnknown:
            if any(stored.id == one.id for stored in session.events):
                return


async def texts(service: RedisSessionsSessionService, **names: Any) -> list[str]:
    """Return the texts of the stored events."""
    session = await service.get_session(**{**NAMES, **names})
    assert session is not None
    return [one.content.parts[0].text for one in session.events if one.content and one.content.parts]


@pytest.fixture(params=[*REAL_ENGINES, "cluster"])
def url(request: pytest.FixtureRequest, engines: Engines) -> str:
    """Return the URL of each engine that several processes can use."""
    return engines.url(str(request.param))


@pytest.fixture
def service(url: str, namespace: str) -> Iterator[RedisSessionsSessionService]:
    """Return a service with a session."""
    one = RedisSessionsSessionService(url, namespace=namespace)
    asyncio.run(one.create_session(**NAMES))
    yield one
    asyncio.run(one.close())


# -- bad input -------------------------------------------------------------------------------------------------------------

HALF = "\ud83d"
"""Half of a surrogate pair, such as a text that was cut in the middle of an emoji."""
DAMAGED_EVENTS = {
    "text": event(HALF),
    "state": event("x", {"k": HALF, "user:k": HALF}),
    "error": Event(author="agent", invocation_id="i", error_message=HALF),
    "arguments": Event(
        author="agent", invocation_id="i",
        content=types.Content(parts=[types.Part(function_call=types.FunctionCall(name="f", args={"q": HALF}))]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED_EVENTS)
def test_event_with_half_of_a_surrogate_pair_can_be_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a surrogate pair is stored as U+FFFD. One that was stored before hides no session, and is read as U+FFFD."""

    async def main() -> None:
        async with RedisSessionsSessionService("fake://") as service:
            session = await service.create_session(**NAMES)
            await service.create_session(**{**NAMES, "session_id": "two"})
            for patched in (False, True):
                if patched:
                    monkeypatch.setattr(_sessions, "valid_json", lambda value: value)
                await service.append_event(session, DAMAGED_EVENTS[name].model_copy(update={"id": str(patched)}))
            found = await service.get_session(**NAMES)
            assert found is not None
            assert len(found.events) == 2
            assert [HALF in str(one.model_dump()) for one in found.events] == [False, False]
            assert ["\ufffd" in str(one.model_dump()) for one in found.events] == [True, True]
            assert HALF not in str(found.state)
            assert len((await service.list_sessions(app_name="shop")).sessions) == 2

    asyncio.run(main())


def test_list_needs_no_event_that_can_be_read() -> None:
    """An event that the framework cannot read makes a list neither fail nor shorter."""

    async def main() -> None:
        async with RedisSessionsSessionService("fake://") as service:
            await service.create_session(**NAMES)
            stored = service._cache.session(id_of(list(NAMES.values())))
            await stored.append({"invocation_id": 5, "id": [], "timestamp": 7.0, "role": "user", "content": "x"})
            (found,) = (await service.list_sessions(app_name="shop")).sessions
            assert (found.id, found.last_update_time) == ("one", 7.0)

    asyncio.run(main())


@pytest.mark.parametrize("wrong", ["", None, 5])
def test_name_that_is_empty_is_refused(wrong: Any) -> None:
    """An empty name of an application, a user or a session to read is InvalidInput that names it."""

    async def main() -> None:
        async with RedisSessionsSessionService("fake://") as service:
            for name in NAMES:
                calls = [service.get_session, service.delete_session]
                if name != "session_id":
                    calls.append(service.create_session)  # type: ignore[arg-type]
                for call in calls:
                    with pytest.raises(InvalidInput, match=name):
                        await call(**{**NAMES, name: wrong})
            with pytest.raises(InvalidInput, match="app_name"):
                await service.list_sessions(app_name=wrong)
            with pytest.raises(InvalidInput, match="user_id"):
                await service.get_user_state(app_name="shop", user_id=wrong)

    asyncio.run(main())


# -- processes -------------------------------------------------------------------------------------------------------------


def _write(url: str, namespace: str, worker: int, acknowledged: Any) -> None:
    """Append events one after the other until the process is killed. Say which ones were stored."""

    async def run() -> None:
        service = RedisSessionsSessionService(url, namespace=namespace)
        for number in range(10_000):
            name = f"{os.getpid()}.{number}"
            await append(service, event(name, {f"w{worker}": number, "app:last": name, f"user:{os.getpid()}": number}))
            acknowledged.send(name)

    asyncio.run(run())


@pytest.mark.parametrize("url", ["cluster"] if not SOAK else [*REAL_ENGINES, "cluster"], indirect=True)
def test_killed_processes_lose_and_double_nothing(
    service: RedisSessionsSessionService, url: str, namespace: str
) -> None:
    """Of four processes that are killed at random and started again, every acknowledged event is stored once."""
    acknowledged: list[str] = []
    running: list[tuple[Any, Any]] = []

    def start(worker: int) -> None:
        mine, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_write, args=(url, namespace, worker, theirs))
        process.start()
        theirs.close()
        running.append((process, mine))

    def drain(pipe: Any) -> None:
        try:
            while pipe.poll():
                acknowledged.append(pipe.recv())
        except EOFError:
            pass

    kills = 40 if SOAK else 4
    for worker in range(WRITERS):
        start(worker)
    for kill in range(kills):
        process, pipe = running.pop(0)
        assert pipe.poll(60), "the process stored nothing"
        time.sleep(0.05 * (kill % 3))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        drain(pipe)
        if kill < kills - WRITERS:
            start(kill % WRITERS)
    for process, pipe in running:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        drain(pipe)

    async def check() -> None:
        session = await service.get_session(**NAMES)
        assert session is not None
        stored = [one.content.parts[0].text for one in session.events]
        assert len(stored) == len(set(stored))
        assert set(acknowledged) <= set(stored)
        assert len(stored) - len(acknowledged) <= kills + WRITERS
        expected: dict[str, Any] = {}
        for one in session.events:
            expected.update(one.actions.state_delta)
        assert session.state == expected

    asyncio.run(check())


# -- threads and event loops -----------------------------------------------------------------------------------------------


def test_threads_with_loops_of_their_own_share_a_service(service: RedisSessionsSessionService) -> None:
    """Five threads, each with an event loop of its own, lose no event of one service."""
    problems: list[BaseException] = []

    def work(worker: int) -> None:
        async def run() -> None:
            for number in range(6):
                await append(service, event(f"{worker}.{number}", {f"n{worker}": number, "user:last": worker}))

        try:
            asyncio.run(run())
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert sorted(asyncio.run(texts(service))) == sorted(
        f"{worker}.{number}" for worker in range(5) for number in range(6)
    )


def test_each_call_may_have_an_event_loop_of_its_own(service: RedisSessionsSessionService) -> None:
    """A service and its session objects are used by a new event loop for each call."""
    session = asyncio.run(service.get_session(**NAMES))
    assert session is not None
    for number in range(5):
        asyncio.run(service.append_event(session, event(str(number), {"user:n": number})))
    assert asyncio.run(texts(service)) == list("01234")
    assert asyncio.run(service.get_user_state(app_name="shop", user_id="mia")) == {"n": 4}


# -- lost replies ----------------------------------------------------------------------------------------------------------


def test_session_goes_on_after_an_event_that_was_cancelled(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session object whose append was cancelled while its reply was on the way has the event, and takes the next one."""
    append, stored = AsyncSession.append, asyncio.Event()

    async def slow(self: AsyncSession, *given: Any, **options: Any) -> Any:
        result = await append(self, *given, **options)
        stored.set()
        await asyncio.sleep(0.2)
        return result

    async def run() -> None:
        service = RedisSessionsSessionService("fake://", namespace=namespace)
        session = await service.create_session(**NAMES)
        await service.append_event(session, event("0"))
        with monkeypatch.context() as patch:
            patch.setattr(AsyncSession, "append", slow)
            appending = asyncio.create_task(service.append_event(session, event("1", {"n": 1})))
            await stored.wait()
            appending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await appending
        await service.append_event(session, event("2"))
        assert [one.content.parts[0].text for one in session.events if one.content and one.content.parts] == list("012")
        assert (session.state["n"], await texts(service)) == (1, ["0", "1", "2"])
        await service.close()

    asyncio.run(run())


@pytest.mark.parametrize("server", REAL_ENGINES[:1], indirect=True)
def test_event_over_lossy_network_is_stored_once(server: Server, namespace: str) -> None:
    """Over a network that loses replies, an append that is repeated with the same event stores it once."""
    losses = Losses(requests=0.03, replies=0.1)

    async def run(port: int) -> list[str]:
        there = RedisSessionsSessionService(server.url, namespace=namespace)
        here = RedisSessionsSessionService(f"redis://127.0.0.1:{port}", namespace=namespace, timeout=0.2, retry_for=0.2)
        session = await there.create_session(**NAMES)
        for number in range(40):
            one = event(str(number), {"n": number, "app:n": number})
            while True:
                try:
                    await here.append_event(session, one)
                    break
                except (OutcomeUnknown, StoreUnavailable):
                    continue
        found = await there.get_session(**NAMES)
        assert found is not None
        assert found.state == {"n": 39, "app:n": 39}
        stored = await texts(there)
        await here.close()
        await there.close()
        return stored

    with proxy(server.port, losses) as port:
        assert asyncio.run(run(port)) == [str(number) for number in range(40)]
    assert losses.lost_replies > 2


def test_scopes_of_a_process_that_died_are_applied_by_the_next_read(
    service: RedisSessionsSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a process dies after it stored an event and before its scopes were changed, the next read changes them."""

    class Died(BaseException):
        """Stands for the death of the process."""

    def die(*arguments: Any) -> None:
        raise Died

    async def run() -> None:
        session = await service.get_session(**NAMES)
        assert session is not None
        with monkeypatch.context() as patch:
            patch.setattr(shared_scopes.SharedScopes, "apply_own", die)
            with pytest.raises(Died):
                await service.append_event(session, event("1", {"app:a": 1, "user:u": 2, "s": 3}))
        assert await service.get_user_state(app_name="shop", user_id="mia") == {}
        found = await service.get_session(**NAMES)
        assert found is not None
        assert found.state == {"app:a": 1, "user:u": 2, "s": 3}

    asyncio.run(run())


# -- costs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", REAL_ENGINES[:1], indirect=True)
@repeat_if_dearer
def test_calls_take_few_round_trips(server: Server, namespace: str) -> None:
    """An append takes one round trip, two with scopes. A read takes one for each 1,000 events, a list of 100 five at most."""
    costs: dict[str, int] = {}
    tasks_later = tasks.later

    send = connections.NodeClient.send

    async def counted(*call: Any, **options: Any) -> Any:
        costs[list(costs)[-1]] += 1
        return await send(*call, **options)

    async def measured(name: str, call: Any) -> Any:
        before = -1
        while before != (before := count_scripts(server)):
            await asyncio.sleep(0.3)  # the upkeep of the indexes goes on
        costs[name] = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connections.NodeClient, "send", counted)
            patch.setattr(
                tasks, "later", lambda *call: asyncio.get_running_loop().call_later(0.5, tasks_later, 0, *call[1:])
            )
            return await call

    async def run() -> None:
        service = RedisSessionsSessionService(server.url, namespace=namespace)
        for number in range(100):
            await service.create_session(app_name="shop", user_id="mia", session_id=f"s{number}")
        session = await service.create_session(**NAMES)
        await service.append_event(session, event("warm", {"app:a": 0, "user:a": 0, "a": 0}))
        await service.append_event(session, event("warm"))
        await service.list_sessions(app_name="shop")  # from now on the server knows all scripts
        await measured("append", service.append_event(session, event("1")))
        await measured("append with state", service.append_event(session, event("2", {"a": 1})))
        await measured(
            "append with scopes", service.append_event(session, event("3", {"a": 2, "app:a": 1, "user:u": 1}))
        )
        await measured("get", service.get_session(**NAMES))
        await measured("list", service.list_sessions(app_name="shop", user_id="mia"))
        await measured("list of all users", service.list_sessions(app_name="shop"))
        for number in range(2400):
            await service.append_event(session, event(str(number)))
        found = await measured("get of 2,405", service.get_session(**NAMES))
        assert len(found.events) == 2405
        await measured("create", service.create_session(app_name="shop", user_id="mia"))
        await measured("create with scopes", service.create_session(app_name="shop", user_id="mia", state={"app:x": 1}))
        await service.close()

    asyncio.run(run())
    bounds = {
        "append": 1, "append with state": 1, "append with scopes": 2, "get": 1, "list": 5, "list of all users": 5,
        "get of 2,405": 3, "create": 3, "create with scopes": 4,
    }  # fmt: skip
    assert {name: cost for name, cost in costs.items() if cost > bounds[name]} == {}, costs


# -- construction ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [{}, {"url": "fake://", "client": object()}, {"url": "ftp://x"}, {"url": "fake://", "x": 1}]
)
def test_wrong_construction_raises_value_error(given: dict[str, Any]) -> None:
    """A service needs exactly one of url, cache and client, and options that exist. InvalidInput is a ValueError."""
    with pytest.raises(InvalidInput) as refused:
        RedisSessionsSessionService(**given)
    assert isinstance(refused.value, ValueError)


def test_service_shares_a_cache_and_leaves_it_open(namespace: str) -> None:
    """A service over a cache stores there, and does not close the cache."""
    with SessionCache.from_url("fake://", namespace=namespace) as cache:

        async def run() -> None:
            async with RedisSessionsSessionService(cache=cache, ttl=60) as service:
                session = await service.create_session(**NAMES)
                await service.append_event(session, event("1", author="user"))

        asyncio.run(run())
        (found,) = cache.list(tags=["shop/mia"]).items
        (message,) = cache.session(found.id).history()
        assert (found.id, found.user_id, message.role) == ("shop/mia/one", "mia", "user")
        assert cache.session(found.id).info().ttl is not None


def test_forgotten_user_leaves_nothing(namespace: str) -> None:
    """The erasure of a user removes the user's sessions and scope, and nothing of the application."""
    with SessionCache.from_url("fake://", namespace=namespace) as cache:

        async def run() -> None:
            async with RedisSessionsSessionService(cache=cache) as service:
                for user in ("mia", "shop", ":app", "bob"):
                    await service.create_session(app_name="shop", user_id=user, state={"app:a": 1, "user:u": 1})

        asyncio.run(run())
        for user in ("mia", "shop"):
            assert cache.forget(user).sessions == 1
        assert [scope for scope in cache.scopes().items if ":app" not in scope] == ["adk/shop/=OmFwcA", "adk/shop/bob"]
        assert cache.shared("adk/shop/:app").all() == {"a": 1}
        assert cache.count() == 2
