"""Round trips and commands, counted by the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import Session, SessionCache
from tests.servers import Server

X = {"role": "user", "content": "x"}
CALLS: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(X),
    "append of ten": lambda session: session.append(*[X] * 10),
    "append with a known batch": lambda session: session.append(X, batch_id="b"),
    "history": lambda session: session.history(50),
    "history by role": lambda session: session.history(50, role="user"),
    "context": lambda session: session.context(100),
    "turn": lambda session: session.turn(3),
    "info": lambda session: session.info(),
    "state.get": lambda session: session.state.get("a"),
    "state.put": lambda session: session.state.put("a", 1),
    "touch": lambda session: session.touch(),
    "patch": lambda session: session.patch(name="n"),
    "complete": lambda session: session.complete(),
}


def trips(server: Server) -> int:
    """Commands that clients sent since the last question, but for this one."""
    total = int(server.client.info("stats")["total_reads_processed"])
    before, _READS[server.port] = _READS.get(server.port, 0), total
    return total - before - 1


_READS: dict[int, int] = {}


@pytest.mark.parametrize("name", list(CALLS))
def test_a_call_is_one_command(server: Server, namespace: str, name: str) -> None:
    """Whatever it checks: one command, so one round trip; also with a handle that knows nothing yet."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        for handle in (cache.create("warm", max_messages=None), cache.create("a", max_messages=None)):
            handle.append(*[X] * 60)
            handle.append(X, batch_id="b")
        CALLS[name](cache.session("warm"))
        light = cache.session("a")
        server.client.config_resetstat()
        trips(server)
        CALLS[name](light)
        sent_trips = trips(server)
        stats = server.client.info("commandstats")
        sent = [command for command in ("evalsha", "script|load", "script") if f"cmdstat_{command}" in stats]
        if name == "state.get":
            assert (sent, stats["cmdstat_hmget"]["calls"]) == ([], 1)
        else:
            assert (sent, stats["cmdstat_evalsha"]["calls"]) == (["evalsha"], 1)
        assert sent_trips == 1
    server.client.flushall()


def test_creating_and_deleting_are_one_command_each(server: Server, namespace: str) -> None:
    """After the cache's first call, which looks at the schema version once."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.delete("warm")
        cache.create("warm")
        server.client.config_resetstat()
        cache.create("a")
        cache.delete("a")
        assert server.client.info("commandstats")["cmdstat_evalsha"]["calls"] == 2
    server.client.flushall()
