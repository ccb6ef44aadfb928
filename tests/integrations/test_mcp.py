"""The event store of MCP: what it stores, what it replays, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http import EventMessage, StreamableHTTPServerTransport
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from redis_sessions import InvalidInput, SessionCache, StoreUnavailable
from redis_sessions.integrations.mcp import RedisSessionsEventStore, handover
from redis_sessions.integrations.mcp.event_ids import EventPosition, Stream, parse_event_id
from tests.faults.test_round_trips import await_quiet, count_round_trips
from tests.integrations.crew import IS_LONG, Crew
from tests.support.attempts import repeat_if_dearer
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server

HARD_IDS = ["1", "_GET_stream", "", "a b", "ö{}*?\n\0", "../x:{y}", "=", "x" * 5000, "\ud800", "😀" * 200]


def notification(number: Any) -> JSONRPCNotification:
    """Return a notification with a number."""
    return JSONRPCNotification(jsonrpc="2.0", method="notifications/message", params={"data": number})


async def replayed(
    store: RedisSessionsEventStore, event_id: str
) -> tuple[str | None, list[JSONRPCMessage], list[str | None]]:
    """Return the stream that a replay names, its messages and their event IDs."""
    found: list[EventMessage] = []

    async def keep(event: EventMessage) -> None:
        found.append(event)

    stream = await store.replay_events_after(event_id, keep)
    return stream, [one.message for one in found], [one.event_id for one in found]


@asynccontextmanager
async def opened(**given: Any) -> AsyncIterator[RedisSessionsEventStore]:
    """Open an event store for a block."""
    store = RedisSessionsEventStore(**given)
    try:
        yield store
    finally:
        await store.close()


def test_replay_has_later_events_of_same_stream_at_any_process(cache: SessionCache) -> None:
    """Another event store of the server replays what came after an event, in order, of its stream alone."""

    async def main() -> None:
        async with opened(cache=cache) as writer, opened(cache=cache) as reader:
            primed = await writer.store_event("1", None)
            others = [await writer.store_event("2", notification(-1))]
            stored = [await writer.store_event("1", notification(number)) for number in range(5)]
            others.append(await writer.store_event("2", notification(-2)))
            assert len({primed, *stored, *others}) == 8
            assert await replayed(reader, primed) == ("1", [notification(number) for number in range(5)], stored)
            assert await replayed(reader, stored[2]) == ("1", [notification(3), notification(4)], stored[3:])
            assert await replayed(reader, stored[-1]) == ("1", [], [])
            assert await replayed(reader, others[0]) == ("2", [notification(-2)], others[1:])

    asyncio.run(main())


def test_replay_leaves_out_priming_events_and_goes_on_behind_them(cache: SessionCache) -> None:
    """A priming event is never sent by a replay, and its ID is a place like any other."""

    async def main() -> None:
        async with opened(cache=cache) as store:
            first = await store.store_event("1", notification(1))
            primed = await store.store_event("1", None)
            second = await store.store_event("1", notification(2))
            assert await replayed(store, first) == ("1", [notification(2)], [second])
            assert await replayed(store, primed) == ("1", [notification(2)], [second])

    asyncio.run(main())


def test_every_kind_of_message_comes_back_equal(cache: SessionCache) -> None:
    """A replay has the same JSON as the live stream, with long numbers, floats, empty values and every character."""
    hard = {"int": 2**70, "float": 1e-9, "list": [], "dict": {}, "none": None, "text": "\0ö\u2028😀", "/": "</script>"}
    messages: list[JSONRPCMessage] = [
        JSONRPCRequest(jsonrpc="2.0", id="q", method="sampling/createMessage", params=hard),
        JSONRPCNotification(jsonrpc="2.0", method="ping"),
        JSONRPCResponse(jsonrpc="2.0", id=7, result=hard),
        JSONRPCError.model_validate(
            {"jsonrpc": "2.0", "id": None, "error": {"code": -1, "message": "m", "data": hard}}
        ),
    ]

    async def main() -> None:
        async with opened(cache=cache) as store:
            primed = await store.store_event("1", None)
            for message in messages:
                await store.store_event("1", message)
            _, found, _ = await replayed(store, primed)
            assert [one.model_dump_json(by_alias=True, exclude_unset=True) for one in found] == [
                one.model_dump_json(by_alias=True, exclude_unset=True) for one in messages
            ]

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["fake", "valkey-9"], indirect=True)
def test_stream_ids_of_any_characters_are_streams_of_their_own(cache: SessionCache) -> None:
    """Each stream ID has a stream of its own, and an event ID that is printable ASCII without white space."""
    ids = [one for one in HARD_IDS if one]

    async def main() -> None:
        async with opened(cache=cache) as store:
            primed = {id: await store.store_event(id, None) for id in ids}
            for id in ids:
                await store.store_event(id, notification(json.dumps(id)))
            for id in ids:
                assert (await replayed(store, primed[id]))[:2] == (id, [notification(json.dumps(id))])
                assert primed[id].isascii()
                assert primed[id].isprintable()
                assert " " not in primed[id]

    asyncio.run(main())


async def _expiry(cache: SessionCache, stream: Stream) -> None:
    """Return when a stream is gone."""
    while await asyncio.to_thread(cache.get, stream.stored_id) is not None:
        await asyncio.sleep(0.02)


def test_composed_parts_of_hard_ids_are_all_different() -> None:
    """No two triples of session, principal and stream share a stored ID, and an event ID gives its place back."""
    streams = [Stream(session, principal, id) for session in HARD_IDS for principal in ("", "p") for id in HARD_IDS]
    assert len({one.stored_id for one in streams}) == len(streams)
    for stream in streams:
        place = EventPosition(stream, 12, "0123456789ab")
        assert parse_event_id(place.format()) == place or len(place.format()) > 16_384
        assert parse_event_id(place.format("01234567")) == parse_event_id(place.format())


@pytest.mark.parametrize("engine", ["fake", "valkey-9"], indirect=True)
def test_unknown_event_ids_replay_nothing(cache: SessionCache) -> None:
    """An ID that was never given out, of any form, replays nothing and names no stream."""

    async def main() -> None:
        async with opened(cache=cache) as store, opened(url="fake://") as foreign:
            event = await store.store_event("1", notification(1))
            await store.store_event("1", notification(2))
            seq, nonce, token = event.split(".")
            elsewhere = await foreign.store_event("1", notification(3))
            wrong = [
                "", " ", "1", "x" * 100_000, event + "x", event[1:], event.replace(".", "-"), f"2.{nonce}.{token}",
                f"9.{nonce}.{token}", f"0.{nonce}.{token}", f"-1.{nonce}.{token}", f"1.{'0' * 12}.{token}",
                f"{seq}.{nonce}.W10", f"{seq}.{nonce}.WzEsMiwzXQ", f"{seq}.{nonce}.====", f"\u0661.{nonce}.{token}",
                EventPosition(Stream("", "", "none"), 1, nonce).format(), elsewhere,
            ]  # fmt: skip
            for one in wrong:
                assert await replayed(store, one) == (None, [], []), one

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["fake", "valkey-9"], indirect=True)
def test_cap_keeps_newest_events_of_each_stream(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    """With `max_messages` a replay has the newest events of its stream, and a warning says how many were lost."""

    async def main() -> None:
        async with opened(cache=cache, max_messages=3) as store:
            first = await store.store_event("1", notification(0))
            kept = await store.store_event("2", notification("kept"))
            await store.store_event("2", notification("last"))
            for number in range(1, 10):
                await store.store_event("1", notification(number))
            with caplog.at_level(logging.WARNING, "redis_sessions.mcp"):
                assert (await replayed(store, first))[1] == [notification(number) for number in (7, 8, 9)]
            assert "lost 6 events" in caplog.text
            assert (await replayed(store, kept))[1] == [notification("last")]

    asyncio.run(main())


def test_stream_is_gone_after_its_ttl(cache: SessionCache) -> None:
    """A stream that was silent for `ttl` is gone, and its events are unknown then, also when it is begun again."""

    async def main() -> None:
        async with opened(cache=cache, ttl=0.2) as store:
            event = await store.store_event("1", notification(1))
            await store.store_event("1", notification(2))
            assert (await replayed(store, event))[1] == [notification(2)]
            await _expiry(cache, Stream("", "", "1"))
            assert await replayed(store, event) == (None, [], [])
            await store.store_event("1", notification(3))
            assert await replayed(store, event) == (None, [], [])

    asyncio.run(main())


def test_transport_resumes_only_streams_of_its_own_session(cache: SessionCache) -> None:
    """Two MCP sessions with the same stream IDs never see events of each other, whatever event ID they send."""

    async def main() -> None:
        async with opened(cache=cache) as store:
            ours, theirs = (StreamableHTTPServerTransport(name, event_store=store) for name in ("ours", "theirs"))
            primed = {one: await one._mint_priming_event("1", "2025-11-25") for one in (ours, theirs)}
            events = {one: await _store_as(one, notification(one.mcp_session_id)) for one in (ours, theirs)}
            assert all(event is not None for event in primed.values())
            for one, other in ((ours, theirs), (theirs, ours)):
                mine = primed[one]
                assert mine is not None
                assert await _replay_as(one, mine["id"]) == [notification(one.mcp_session_id)]
                assert await _replay_as(other, mine["id"]) == []
                assert (await replayed(store, mine["id"]))[0] is None
                assert await _replay_as(other, events[one]) == []

    asyncio.run(main())


async def _store_as(self: StreamableHTTPServerTransport, message: JSONRPCMessage) -> str:
    """Store an event as a transport does, whose local variable `self` names it."""
    assert self._event_store is not None
    return await self._event_store.store_event("1", message)


async def _replay_as(self: StreamableHTTPServerTransport, event_id: str) -> list[JSONRPCMessage]:
    """Replay events as a transport does."""
    assert isinstance(self._event_store, RedisSessionsEventStore)
    return (await replayed(self._event_store, event_id))[1]


def test_silent_stream_of_present_client_goes_on_after_its_ttl(cache: SessionCache) -> None:
    """A client whose stream expired gets everything that came since, because its transport still serves the stream."""

    async def resume(self: StreamableHTTPServerTransport, event_id: str) -> Any:
        assert isinstance(self._event_store, RedisSessionsEventStore)
        return (await replayed(self._event_store, event_id))[:2]

    async def main() -> None:
        async with opened(cache=cache, ttl=0.2) as store:
            transport = StreamableHTTPServerTransport("client", event_store=store)
            event = await _store_as(transport, notification(1))
            await _expiry(cache, Stream("client", "", "1"))
            assert await asyncio.create_task(resume(transport, event)) == ("1", [])
            await _store_as(transport, notification(2))
            assert await asyncio.create_task(resume(transport, event)) == ("1", [notification(2)])

    asyncio.run(main())


def test_event_during_replay_waits_for_live_stream(cache: SessionCache) -> None:
    """An event that comes during a replay is stored when the transport has registered the stream, so it is not lost."""

    async def main() -> None:
        async with opened(cache=cache) as store:
            transport = StreamableHTTPServerTransport("client", event_store=store)
            first = await _store_as(transport, notification(1))
            await _store_as(transport, notification(2))
            done = asyncio.Event()

            async def resume() -> None:
                assert await _replay_as(transport, first) == [notification(2)]
                await transport._mint_priming_event("1", "2025-11-25")
                await asyncio.sleep(0.05)
                assert not late.done()
                transport._request_streams["1"] = None  # type: ignore[assignment]
                await done.wait()

            resumed = asyncio.create_task(resume())
            await asyncio.sleep(0)
            late = asyncio.create_task(_store_as(transport, notification(3)))
            event = await asyncio.wait_for(late, 4)
            done.set()
            await resumed
            del transport._request_streams["1"]
            assert await asyncio.create_task(_replay_as(transport, event)) == []
            await asyncio.wait_for(_store_as(transport, notification(4)), 4)  # the client of the last replay is gone
            assert await _replay_as(transport, event) == [notification(4)]

    asyncio.run(main())


def test_client_that_does_not_read_its_replay_stops_no_event(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event waits a bounded time for a replay whose client does not read, later ones do not wait, and all are replayable."""
    monkeypatch.setattr(handover, "_MAX_SECONDS", 0.3)

    async def replay(self: StreamableHTTPServerTransport, store: RedisSessionsEventStore, last: str) -> None:
        async def send(event: EventMessage) -> None:
            await asyncio.Event().wait()

        await store.replay_events_after(last, send)

    async def main() -> None:
        async with opened(cache=cache) as store:
            transport = StreamableHTTPServerTransport("client", event_store=store)
            first = await _store_as(transport, notification(1))
            await _store_as(transport, notification(2))
            stuck = asyncio.create_task(replay(transport, store, first))
            while not store._handovers._locks or not next(iter(store._handovers._locks.values())).locked():
                await asyncio.sleep(0.01)
            await asyncio.wait_for(_store_as(transport, notification(3)), 20)
            monkeypatch.setattr(handover, "_MAX_SECONDS", 60.0)
            await asyncio.wait_for(_store_as(transport, notification(4)), 20)
            assert not stuck.done()
            assert await _replay_as(transport, first) == [notification(number) for number in (2, 3, 4)]
            stuck.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
@repeat_if_dearer
def test_store_and_replay_cost_one_round_trip(server: Server, namespace: str) -> None:
    """Each store is one request, and a replay one for each 1,000 events."""

    async def main() -> None:
        async with opened(url=server.url, namespace=namespace, max_messages=None) as store:
            primed = await store.store_event("1", None)
            for size, requests in ((999, 1), (1001, 3)):
                await asyncio.gather(*(store.store_event("1", notification(number)) for number in range(size)))
                await asyncio.to_thread(await_quiet, server)
                count_round_trips(server)
                await replayed(store, primed)
                assert count_round_trips(server) <= requests
            count_round_trips(server)
            for number in range(20):
                await store.store_event(f"new {number}", notification(number))
            stores = count_round_trips(server)
            for number in range(20):
                await store.store_event(f"new {number}", notification(number))
            assert (stores, count_round_trips(server)) == (20, 20)

    asyncio.run(main())


@pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
def test_lost_replies_store_each_event_once(server: Server, namespace: str) -> None:
    """With two fifths of the replies lost, each event is stored once, in order, under the ID that was returned."""

    async def main() -> None:
        losses = Losses(requests=0.05, replies=0.4)
        with proxy(server.port, losses) as port:
            async with opened(url=f"redis://127.0.0.1:{port}?timeout=0.1&retry_for=30s", namespace=namespace) as store:
                ids = [await store.store_event("1", notification(number)) for number in range(8)]
        assert losses.lost_replies > 1
        async with opened(url=server.url, namespace=namespace) as store:
            _, found, found_ids = await replayed(store, ids[0])
        assert found == [notification(number) for number in range(1, 8)]
        assert found_ids == ids[1:]

    asyncio.run(main())


def test_failed_store_is_logged_or_raised(caplog: pytest.LogCaptureFixture) -> None:
    """An event that cannot be stored has no ID and a warning, and raises with `on_failure="raise"`."""
    given = {"url": "redis://127.0.0.1:1?retry_for=0.05"}

    async def main() -> None:
        async with opened(**given) as store:
            with caplog.at_level(logging.WARNING, "redis_sessions.mcp"):
                assert await store.store_event("1", notification(1)) == ""
            assert "is not stored" in caplog.text
        async with opened(**given, on_failure="raise") as store:
            with pytest.raises(StoreUnavailable):
                await store.store_event("1", notification(1))

    asyncio.run(main())


def test_event_that_cannot_be_encoded_ends_no_session(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a surrogate pair is stored as U+FFFD, and any other failure is logged, because it would end the MCP session."""

    async def main() -> None:
        async with opened(url="fake://") as store:
            first = await store.store_event("1", notification(1))
            assert await store.store_event("1", notification("\ud83d")) != ""
            assert (await replayed(store, first))[1] == [notification("\ufffd")]
            monkeypatch.setattr(store, "_append", lambda *given: 1 / 0)
            with caplog.at_level(logging.WARNING, "redis_sessions.mcp"):
                assert await store.store_event("1", notification(2)) == ""
            assert "is not stored" in caplog.text

    asyncio.run(main())


def test_event_above_bound_is_refused() -> None:
    """An event larger than `max_message_bytes` is not stored, and the events around it are."""

    async def main() -> None:
        async with opened(url="fake://", max_message_bytes=1000) as store:
            first = await store.store_event("1", notification(1))
            assert await store.store_event("1", notification("x" * 1000)) == ""
            await store.store_event("1", notification(2))
            assert (await replayed(store, first))[1] == [notification(2)]

    asyncio.run(main())


def test_wrong_arguments_are_refused() -> None:
    """Each wrong argument raises InvalidInput that names it, and so does a closed event store."""
    with pytest.raises(InvalidInput, match="exactly one of url, cache and client"):
        RedisSessionsEventStore()
    with pytest.raises(InvalidInput, match="max_messages"):
        RedisSessionsEventStore(url="fake://", max_messages=0)
    with pytest.raises(InvalidInput, match="ttl"):
        RedisSessionsEventStore(url="fake://", ttl=-1)
    with pytest.raises(InvalidInput, match="on_failure"):
        RedisSessionsEventStore(url="fake://", on_failure="stop")  # type: ignore[arg-type]

    async def main() -> None:
        async with opened(url="fake://") as store:
            for wrong in ("", None, 5, b"1"):
                with pytest.raises(InvalidInput, match="stream_id"):
                    await store.store_event(wrong, None)  # type: ignore[arg-type]
            with pytest.raises(InvalidInput, match="message"):
                await store.store_event("1", {"jsonrpc": "2.0"})  # type: ignore[arg-type]
            assert await replayed(store, None) == (None, [], [])  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="closed"):
            await store.store_event("1", None)

    asyncio.run(main())


def test_one_store_serves_threads_with_loops_of_their_own(cache: SessionCache) -> None:
    """Five event loops in threads, each new for each event, store into one stream without a loss."""
    store = RedisSessionsEventStore(cache=cache)
    primed = asyncio.run(store.store_event("1", None))

    def write(thread: int) -> None:
        for number in range(4):
            asyncio.run(store.store_event("1", notification([thread, number])))

    async def main() -> list[Any]:
        await asyncio.gather(*(asyncio.to_thread(write, thread) for thread in range(5)))
        return [one.params["data"] for one in (await replayed(store, primed))[1]]  # type: ignore[union-attr,index]

    found = asyncio.run(main())
    assert sorted(found) == [[thread, number] for thread in range(5) for number in range(4)]
    assert all([one for one in found if one[0] == thread] == [[thread, n] for n in range(4)] for thread in range(5))
    asyncio.run(store.close())


def _store_numbers(url: str, namespace: str, worker: int, left: range, acknowledged: Connection) -> None:
    """Store the numbers of a worker in one stream, and say which are stored."""

    async def main() -> None:
        async with opened(url=url, namespace=namespace) as store:
            for number in left:
                await store.store_event("shared", notification([worker, number]))
                acknowledged.send(number)

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_killed_processes_lose_no_acknowledged_event(url: str, namespace: str) -> None:
    """Four processes store in one stream, and some are killed: every event is there in its order, and once if acknowledged.

    A process that is started again cannot know of an event that was stored just before the kill, so one event for each kill may
    be there twice.
    """

    async def main(primed: str) -> list[Any]:
        async with opened(url=url, namespace=namespace) as store:
            return [one.params["data"] for one in (await replayed(store, primed))[1]]  # type: ignore[union-attr,index]

    async def prime() -> str:
        async with opened(url=url, namespace=namespace) as store:
            return await store.store_event("shared", None)

    primed = asyncio.run(prime())
    crew = Crew(_store_numbers, url, namespace)
    crew.run()
    found = asyncio.run(main(primed))
    for worker in range(crew.workers):
        mine = [number for owner, number in found if owner == worker]
        assert sorted(set(mine)) == list(range(crew.items))
        assert mine == sorted(mine)
    assert len(found) - crew.workers * crew.items <= (8 if IS_LONG else 2)


@pytest.mark.parametrize("engine", ["fake"], indirect=True)
def test_stream_belongs_to_credential_of_its_session(cache: SessionCache) -> None:
    """A client with the ID of an MCP session, and another credential than the one that opened it, resumes nothing."""

    async def main() -> None:
        async with opened(cache=cache) as store:
            transport = StreamableHTTPServerTransport("client", event_store=store)
            mia, ben = (AuthenticatedUser(AccessToken(token="t", client_id=name, scopes=[])) for name in ("mia", "ben"))
            auth_context_var.set(mia)
            first = await _store_as(transport, notification(1))
            await _store_as(transport, notification(2))
            for user, expected in ((ben, []), (None, []), (mia, [notification(2)])):
                auth_context_var.set(user)
                assert await asyncio.create_task(_replay_as(transport, first)) == expected

    asyncio.run(main())
