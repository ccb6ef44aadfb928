"""Server-sent events: blocks, resumption, refusals, ends, and what is left behind a client that is gone."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from redis_sessions import AsyncSession, AsyncSessionCache, InvalidInput, StoreUnavailable
from redis_sessions.codecs import Zstd
from redis_sessions.sse import (
    FINISHED,
    STREAM_HEADERS,
    EventStream,
    EventStreamResponse,
    _format_positions,
    encode_event,
    stream_session,
    stream_sessions,
)
from tests.support.servers import Server

X = {"role": "user", "content": "x"}


@asynccontextmanager
async def opened(url: str, namespace: str) -> AsyncIterator[AsyncSessionCache]:
    """Yield a cache, and check that no watch is left behind it."""
    async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
        yield cache
        assert cache._context.watcher._watched == {}


class Client:
    """One request to an ASGI application, and what comes back."""

    def __init__(self, last_event_id: str | None = None) -> None:
        headers = [] if last_event_id is None else [(b"Last-Event-ID", last_event_id.encode())]
        self.scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "asgi": {"spec_version": "2.3"}}
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.is_over = self.is_asked = False
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """Return the request, then nothing until the client disconnects."""
        if not self.is_asked:
            self.is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a part of the response."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]
            self.is_over = not message["more_body"]

    @property
    def blocks(self) -> list[dict[str, str]]:
        """The complete blocks so far, each by the names of its fields. The name of a comment is ''."""
        texts = self.body.decode().split("\n\n")[:-1]
        return [dict(line.split(": ", 1) for line in text.split("\n")) for text in texts]

    @property
    def events(self) -> list[str]:
        """The kinds of the events so far."""
        return [block["event"] for block in self.blocks if "event" in block]

    def has(self, events: int = 0, blocks: int = 0) -> bool:
        """Return whether at least these events and blocks came."""
        return len(self.events) >= events and len(self.blocks) >= blocks

    async def until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        """Return when a condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)


def test_stream_sends_what_happens_and_ends_with_the_reason(url: str, namespace: str) -> None:
    """A stream sends a retry time, each event with its cursor, and an `end` event behind which a client need not reconnect."""

    async def main() -> None:
        async with opened(url, namespace) as cache:
            session = await cache.create("a")
            await session.append(X)
            await session.publish("Hé\ud800\n\u2028")
            client = Client()
            app = EventStreamResponse(lambda id: stream_session(session, id))
            task = asyncio.create_task(app(client.scope, client.receive, client.send))
            await client.until(lambda: len(client.blocks) == 3)
            await session.append({"role": "assistant", "content": "ok"})
            await session.complete()
            await task
            assert (client.status, client.is_over) == (200, True)
            assert {name.decode(): value.decode() for name, value in client.headers.items()} == dict(STREAM_HEADERS)
            first, *blocks = client.blocks
            assert first == {"retry": "2000"}
            assert [block["event"] for block in blocks] == ["message", "delta", "message", "status", "end"]
            assert blocks[0]["id"] == "1-0"
            data = [json.loads(block["data"]) for block in blocks]
            assert data[0]["payload"] == X
            assert (data[1]["data"], data[1]["number"]) == ("Hé\ud800\n\u2028", 1)
            assert data[3]["status"] == "completed"
            assert (data[4], blocks[4]["id"]) == ({"reason": "ended"}, FINISHED)
            for at in range(4):
                again = Client(blocks[at]["id"])
                await app(again.scope, again.receive, again.send)
                assert (
                    again.events
                    == [block["event"] for block in blocks if block["event"] != "delta"][(at + 1 if at == 0 else at) :]
                )
            last = Client(FINISHED)
            await app(last.scope, last.receive, last.send)
            assert (last.status, last.body, last.is_over) == (204, b"", True)

    asyncio.run(main())


def test_stream_resumes_in_the_middle_of_an_answer(url: str, namespace: str) -> None:
    """A client that reconnects gets the deltas that it missed, each once."""

    async def main() -> None:
        async with opened(url, namespace) as cache:
            session = await cache.create("a")
            app = EventStreamResponse(lambda id: stream_session(session, id))
            found: list[Any] = []
            last: str | None = None
            for turn in range(3):
                await session.publish([turn, 0])
                await session.publish([turn, 1])
                client = Client(last)
                task = asyncio.create_task(app(client.scope, client.receive, client.send))
                await client.until(partial(client.has, events=2))
                client.gone.set()
                await task
                last = client.blocks[-1]["id"]
                found += [json.loads(block["data"])["data"] for block in client.blocks if "event" in block]
            assert found == [[turn, number] for turn in range(3) for number in range(2)]

    asyncio.run(main())


def test_client_that_disconnects_leaves_nothing_behind(url: str, namespace: str) -> None:
    """Streams whose clients are gone, or whose tasks are cancelled, end their watches, listeners and tasks."""

    async def main() -> None:
        async with opened(url, namespace) as cache:
            session = await cache.create("a", user_id="mia")
            await session.append(X)
            one = EventStreamResponse(lambda id: stream_session(session, id))
            many = EventStreamResponse(lambda id: stream_sessions(cache, id, user_id="mia", heartbeat=0.1))
            clients = [Client() for _ in range(10)]
            tasks = [
                asyncio.create_task((one, many)[at % 2](client.scope, client.receive, client.send))
                for at, client in enumerate(clients)
            ]
            for client in clients:
                await client.until(partial(client.has, blocks=2))
            assert cache._context.watcher._watched["a"].queues
            assert any(_is_of_stream(task) for task in asyncio.all_tasks())
            for at, client in enumerate(clients):
                if at < 6:
                    client.gone.set()
                else:
                    tasks[at].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert cache._context.watcher._watched == {}
            assert cache._context.hub._listeners == {}
            assert [task for task in asyncio.all_tasks() if _is_of_stream(task)] == []

    asyncio.run(main())


def _is_of_stream(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.endswith("redis_sessions/sse.py")


def test_client_that_is_gone_without_a_word_is_noticed(url: str, namespace: str) -> None:
    """A server that says by an OSError of `send` that the client is gone ends the stream."""

    async def main() -> None:
        async with opened(url, namespace) as cache:
            session = await cache.create("a")
            client = Client()

            async def send(message: Any) -> None:
                if client.body.count(b"heartbeat") == 2:
                    raise OSError("gone")
                await client.send(message)

            await EventStreamResponse(lambda id: stream_session(session, id, heartbeat=0.1))(
                client.scope, client.receive, send
            )
            assert not client.is_over

    asyncio.run(main())


@pytest.mark.parametrize("cursor", ["17", "17-", "x", "1-0-", "<script>", "9" * 300, "1-2-3", "-1-0", "1-0 "])
def test_bad_last_event_id_is_one_clear_refusal(cursor: str) -> None:
    """A Last-Event-ID that was cut or forged is answered with 400 and one line that names it."""

    async def main() -> None:
        async with opened("fake://", "n") as cache:
            session = await cache.create("a", user_id="mia")
            for app in (
                EventStreamResponse(lambda id: stream_session(session, id)),
                EventStreamResponse(lambda id: stream_sessions(cache, id, user_id="mia")),
            ):
                client = Client(cursor)
                await app(client.scope, client.receive, client.send)
                assert (client.status, client.is_over, client.headers[b"x-content-type-options"]) == (
                    400,
                    True,
                    b"nosniff",
                )
                assert client.headers[b"content-type"].startswith(b"text/plain")
                assert client.body.startswith(b"last_event_id: must be")
                assert len(client.body) < 300
                assert b"\n" not in client.body

    asyncio.run(main())


def test_request_for_what_does_not_exist_is_refused() -> None:
    """A missing session or tree is 404, a bad ID 400. A bad option of the stream is the application's error."""

    async def main() -> None:
        async with opened("fake://", "n") as cache:

            async def status(open: Callable[[str | None], EventStream]) -> int:
                client = Client()
                await EventStreamResponse(open)(client.scope, client.receive, client.send)
                return client.status

            assert await status(lambda id: stream_session(cache.session("missing"), id)) == 404
            assert await status(lambda id: stream_sessions(cache, id, tree="missing")) == 404
            assert await status(lambda id: stream_session(cache.session("a b"), id)) == 400
            session = await cache.create("a")
            for options in ({"heartbeat": 0}, {"retry": -1}, {"timeout": "soon"}, {"stop": 3}):
                with pytest.raises(InvalidInput, match=f"^{next(iter(options))}:"):
                    stream_session(session, **options)
                with pytest.raises(InvalidInput, match=f"^{next(iter(options))}:"):
                    await status(lambda id, options=options: stream_session(session, id, **options))  # type: ignore[misc]
            with pytest.raises(InvalidInput, match="exactly one"):
                stream_sessions(cache, user_id="mia", tree="a")
            with pytest.raises(InvalidInput, match="scope"):
                await EventStreamResponse(lambda id: stream_session(session, id))({"type": "websocket"}, None, None)  # type: ignore[arg-type]

    asyncio.run(main())


def test_stream_says_why_it_ended(url: str, namespace: str) -> None:
    """A stream that timed out or was stopped, or whose session is gone, says so."""

    async def ends(stream: EventStream) -> tuple[str, bool]:
        *_, last = [block async for block in stream]
        fields = dict(line.split(": ", 1) for line in last.decode().strip().split("\n"))
        assert fields["event"] == "end"
        return json.loads(fields["data"])["reason"], fields.get("id") == FINISHED

    async def main() -> None:
        async with opened(url, namespace) as cache:
            session = await cache.create("a", user_id="mia")
            stop = threading.Event()
            stop.set()
            assert await ends(stream_session(session, timeout=0.1)) == ("timeout", False)
            assert await ends(stream_session(session, stop=stop)) == ("stopped", False)
            assert await ends(stream_sessions(cache, user_id="mia", stop=stop)) == ("stopped", False)
            assert await ends(stream_session(cache.session("missing"))) == ("deleted", True)
            await session.append(X)
            stream = stream_session(session)
            for _ in range(2):
                await anext(stream)
            await session.delete()
            assert await ends(stream) == ("deleted", True)
            await stream.aclose()

    asyncio.run(main())


def test_stream_of_many_resumes_only_in_own_sessions(url: str, namespace: str) -> None:
    """The ID of a stream of many sessions resumes each of them. A session of another user, forged into the ID, is passed over."""

    async def main() -> None:
        async with opened(url, namespace) as cache:
            mine = [await cache.create(f"m{number}", user_id="mia") for number in range(3)]
            other = await cache.create("other", user_id="bob")
            await other.append({"role": "user", "content": "secret"})
            client = Client()
            app = EventStreamResponse(lambda id: stream_sessions(cache, id, user_id="mia", heartbeat=0.1))
            task = asyncio.create_task(app(client.scope, client.receive, client.send))
            await client.until(lambda: b"heartbeat" in client.body)
            for session in mine:
                await session.append(X)
            await client.until(lambda: len(client.events) == 3)
            client.gone.set()
            await task
            last = [block for block in client.blocks if "id" in block][-1]["id"]
            for session in mine:
                await session.append({"role": "user", "content": "missed"})
            again = Client(last)
            task = asyncio.create_task(app(again.scope, again.receive, again.send))
            await again.until(lambda: len(again.events) == 3)
            again.gone.set()
            await task
            assert again.body.count(b"missed") == 3
            forged = Client(_format_positions({"other": "0-0", "m1": "1-0"}))
            task = asyncio.create_task(app(forged.scope, forged.receive, forged.send))
            await forged.until(lambda: b"missed" in forged.body and b"heartbeat" in forged.body)
            forged.gone.set()
            await task
            assert b"secret" not in forged.body

    asyncio.run(main())


def test_stream_of_a_subtree_resumes_in_each_of_its_sessions(url: str, namespace: str) -> None:
    """A session below the one that is watched names the root of the whole tree. Its place in the stream holds all the same."""

    async def main() -> None:
        async with opened(url, namespace) as cache:
            root = await cache.create("root")
            middle = (await root.spawn("a")).raise_if_refused().session_key
            below = (await cache.session(str(middle)).spawn("b")).raise_if_refused().session_key
            session = cache.session(str(below))
            await session.append({"role": "user", "content": "seen"})
            await session.append({"role": "user", "content": "missed"})
            await root.append({"role": "user", "content": "above"})
            client = Client(_format_positions({session.id: "1-0", "root": "0-0"}))
            app = EventStreamResponse(lambda id: stream_sessions(cache, id, tree=str(middle), heartbeat=0.1))
            task = asyncio.create_task(app(client.scope, client.receive, client.send))
            await client.until(lambda: client.body.count(b"heartbeat") >= 5)
            client.gone.set()
            await task
            assert b"missed" in client.body
            assert b"seen" not in client.body
            assert b"above" not in client.body

    asyncio.run(main())


def test_stream_of_many_goes_on_after_an_outage(
    own_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that reconnects at the end of an outage, however short, gets all that it missed."""
    info = AsyncSession.info

    async def end_of_outage(session: AsyncSession) -> Any:
        try:
            return await info(session)
        except StoreUnavailable:
            await asyncio.to_thread(own_server.start)
            raise

    async def main() -> None:
        async with AsyncSessionCache.from_url(own_server.url, namespace=namespace, timeout=0.2, retry_for=0.3) as cache:
            session = await cache.create("a", user_id="mia")
            await session.append(X)
            last = _format_positions({"a": "1-0"})
            app = EventStreamResponse(lambda id: stream_sessions(cache, id, user_id="mia", heartbeat=0.1))
            await session.append({"role": "user", "content": "missed"})
            own_server.kill()
            monkeypatch.setattr(AsyncSession, "info", end_of_outage)
            client = Client(last)
            task = asyncio.create_task(app(client.scope, client.receive, client.send))
            await client.until(lambda: client.is_over or b"heartbeat" in client.body)
            assert client.blocks[1:] == [{"event": "end", "data": '{"reason":"unavailable"}'}]
            await task
            again = Client(last)
            task = asyncio.create_task(app(again.scope, again.receive, again.send))
            await again.until(lambda: b"missed" in again.body)
            again.gone.set()
            await task

    asyncio.run(main())


def test_unreadable_message_ends_only_a_stream_of_its_session(
    url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream of one session ends with `failed`, a stream of many goes on behind a gap. The log names the cause in each case."""

    async def main() -> None:
        async with opened(url, namespace) as cache, AsyncSessionCache(cache, codecs=[Zstd()]) as writer:
            session = await writer.create("a", user_id="mia")
            one, many = stream_session(cache.session("a")), stream_sessions(cache, user_id="mia", heartbeat=0.1)
            begins = [await anext(one), await anext(many), await anext(many)]
            await session.append({"role": "user", "content": "x" * 10_000})
            blocks = begins + [block async for block in one]
            assert blocks[-1] == b'event: end\ndata: {"reason":"failed"}\n\n'
            await session.append(X)
            found = b""
            while b'"kind":"message"' not in found:
                found += await asyncio.wait_for(anext(many), 30)
            assert b'"kind":"gap"' in found
            await many.aclose()
            assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
            assert caplog.text.count("codec 'z'") == 2

    asyncio.run(main())


def test_id_of_many_sessions_is_bounded() -> None:
    """An ID names at most 50 sessions and has at most 4,096 bytes: those with the newest events stay."""
    positions = {f"s{number}": "1-0" for number in range(80)}
    assert len(_format_positions(positions)) <= 4096
    assert list(positions) == [f"s{number}" for number in range(30, 80)]
    long = {"x" * 250 + str(number): "1-0" for number in range(40)}
    assert len(_format_positions(long)) <= 4096
    assert list(long)[-1] == "x" * 250 + "39"


def test_streaming_response_of_starlette_takes_a_stream(url: str, namespace: str) -> None:
    """A stream is the body of Starlette's StreamingResponse, and ends with the client's connection."""

    async def main() -> None:
        async with opened(url, namespace) as cache:
            session = await cache.create("a")
            await session.append(X)
            client = Client()
            response = StreamingResponse(stream_session(session), headers=STREAM_HEADERS)
            task = asyncio.create_task(response(client.scope, client.receive, client.send))
            await client.until(lambda: client.events == ["message"])
            assert client.headers[b"content-type"] == STREAM_HEADERS["content-type"].encode()
            client.gone.set()
            await task
            del response
            await client.until(lambda: cache._context.watcher._watched == {})

    asyncio.run(main())


def test_events_of_blocking_watch_can_be_encoded() -> None:
    """An event of a blocking watch becomes the same block, for frameworks without asyncio."""
    from redis_sessions.testing import fake_cache

    with fake_cache() as cache:
        session = cache.create("a")
        session.append(X)
        blocks = [encode_event(event) for event in session.watch(heartbeat=0.1, timeout=0.5)]
    assert blocks[0].startswith(b'id: 1-0\nevent: message\ndata: {"kind":"message","session_id":"a","seq":1,')
    assert blocks[1] == b": heartbeat\n\n"
