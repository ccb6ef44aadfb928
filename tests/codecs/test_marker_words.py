"""A server that holds encrypted sessions knows none of the words in them: in no key, value, append-only file or channel."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import SessionCache
from redis_sessions.codecs import EVERYTHING, Zstd
from tests.codecs.conftest import cipher
from tests.support.servers import Server, binaries

WORDS = 1000


@pytest.fixture
def logging_server() -> Iterator[Server]:
    """Yield a server that writes each command to an append-only file."""
    found = binaries()
    server = Server(
        found.get("path") or found["redis-6.2"],
        "--appendonly",
        "yes",
        "--aof-use-rdb-preamble",
        "no",
        "--appendfsync",
        "always",
    )
    yield server
    server.stop()


class Channels:
    """The messages that are published while a block runs."""

    def __init__(self, server: Server) -> None:
        self.heard: list[bytes] = []
        self._subscription = server.client.pubsub()
        self._subscription.psubscribe("*")
        self._subscription.get_message(timeout=5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        while not self._stop.is_set():
            message = self._subscription.get_message(timeout=0.05)
            if message is not None:
                self.heard.append(message["data"])

    def __enter__(self) -> Channels:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        while (message := self._subscription.get_message(timeout=0.2)) is not None:
            self.heard.append(message["data"])
        self._subscription.close()


def stored(client: Any, key: bytes) -> list[bytes]:
    """Return all that a key holds."""
    kind = client.type(key)
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == b"list":
        return list(client.lrange(key, 0, -1))
    return list(client.zrange(key, 0, -1)) if kind == b"zset" else [client.get(key)]


def use_everything(cache: SessionCache, words: Iterator[str]) -> None:
    """Put words into everything that a cache can encode."""

    def text() -> str:
        return " ".join(next(words) for _ in range(4))

    session = cache.create("s", name=text(), system_prompt=text(), metadata={"m": text()}, max_messages=20)
    session.append({"role": "user", "content": text()})
    watched = session.watch(timeout=5)
    assert next(watched).kind == "message"
    for n in range(15):
        session.append({"role": "user", "content": text()}, {"role": "assistant", "content": [{"text": text()}]})
        session.state.put(f"s{n}", {"v": text()})
        session.variables.put(f"v{n}", text())
        session.publish({"delta": text()})
        cache.documents("notes").put(f"d{n}", text())
        cache.documents("notes").put_json(f"d{n}", [text()])
    last = session.info().last_seq
    session.replace(last, {"role": "assistant", "content": text()})
    session.compact(last - 4, text())
    session.patch(name=text(), metadata={"m": text()})
    session.append({"role": "user", "content": text()}, state={"s0": text()}, if_state={"s1": session.state.get("s1")})
    with session.lease():
        cache.session("s").send(text())
    for cleanup in ("keep", "delete"):
        child = session.spawn("worker", task=text(), cleanup=cleanup, context="fork").raise_if_refused()
        run = cache.claim("worker")
        assert run is not None
        run._give_back("failed", problem=text())
        assert child.session_key is not None
        cache.session(child.session_key).complete({"r": text()}, reason=text())
    session.spawn("worker").raise_if_refused()
    session.publish({"delta": text()})
    assert next(event for event in watched if event.kind == "delta").data is not None
    other = session.fork(name=text())
    assert other.history()
    lines = "".join(session.export())
    session.cancel(reason=text())
    assert "marker" not in lines


def test_server_with_everything_encrypted_holds_no_marker_word(logging_server: Server) -> None:
    """None of 1,000 words is in a key, a value, the append-only file or a message of a channel."""
    words = [f"marker{secrets.token_hex(6)}" for _ in range(WORDS)]
    codecs = [Zstd(), cipher()]
    with (
        SessionCache.from_url(logging_server.url, codecs=codecs, encode=EVERYTHING) as cache,
        Channels(logging_server) as channels,
    ):
        used = iter(words)
        use_everything(cache, used)
        cache.create("rest").append(*[{"role": "user", "content": word} for word in used])
    client = logging_server.client
    keys = list(client.scan_iter("*", count=1000))
    parts = [part for key in keys for part in (key, *stored(client, key))]
    files = [path.read_bytes() for path in Path(logging_server.folder).rglob("*") if path.is_file()]
    assert len(keys) > 10
    assert any(len(data) > 100_000 for data in files)
    assert len(channels.heard) > 20
    everything = b"\n".join([*parts, *files, *channels.heard])
    assert [word for word in words if word.encode() in everything] == []


def test_server_without_codecs_holds_the_words(logging_server: Server) -> None:
    """The search finds words that are stored plain, in each of the places."""
    with SessionCache.from_url(logging_server.url) as cache, Channels(logging_server) as channels:
        session = cache.create("s")
        session.append({"role": "user", "content": "marker-a"})
        watched = session.watch(timeout=5)
        assert next(watched).kind == "message"
        session.publish("marker-b")
        assert next(watched).data == "marker-b"
    files = b"".join(path.read_bytes() for path in Path(logging_server.folder).rglob("*") if path.is_file())
    assert b"marker-a" in files
    assert any(b"marker-b" in heard for heard in channels.heard)
