"""Measure the server's own time of an append, and the memory of sessions, against bare commands.

The server time is the difference of `INFO commandstats` around pipelines of 50 calls. Both scripts take turns, so that a slow
moment of the machine affects both. The ratio is the median of the ratios of all turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

from benchmarks.rows import Row
from redis_sessions import SessionCache
from redis_sessions._core.commands import messages as message_commands
from redis_sessions._core.commands.creation import Creation
from redis_sessions._core.commands.new_messages import append_new
from redis_sessions._core.protocol.ids import new_incarnation
from redis_sessions._core.protocol.keys import SessionKeys, session_keys
from redis_sessions._core.protocol.scripts import Script, creating, script
from redis_sessions._core.protocol.token_estimate import estimate_tokens
from redis_sessions.bounds import DEFAULT_BOUNDS
from redis_sessions.settings import SessionSettings
from tests.support.servers import Server, binaries

# The least that an append must do: find the session, push, count, and extend two TTLs. The second one also holds a cap.
MINIMAL = """
local incarnation = redis.call('HMGET', KEYS[1], 'incarnation')[1]
if not incarnation then return redis.error_reply('SESSION_NOT_FOUND') end
local count = redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'counters', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
redis.call('PEXPIREAT', KEYS[2], ARGV[3])
return count
"""
MINIMAL_CAPPED = MINIMAL.replace("redis.call('HSET'", "redis.call('LTRIM', KEYS[2], -100, -1)\nredis.call('HSET'")
COUNTERS = "1000 1000 900 500 500 500 0 43600 12000 1000 1763700000000000 999"
PIPELINE = 50
MESSAGE = {"role": "user", "content": "x" * (400 - len('{"role":"user","content":""}'))}
RAW = json.dumps(MESSAGE, separators=(",", ":"))
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "x" * 250,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}


class Case(NamedTuple):
    """One kind of append: how the session is made, and the messages in turn."""

    name: str
    cap: int | None
    messages: Callable[[int], Any]
    minimal: str
    bar: float | None
    batch_id: Callable[[int], str | None] = lambda number: None
    way: str = "append"


def _call(number: int) -> dict[str, Any]:
    """Return a call for an even number, and its result for the next."""
    if number % 2 == 0:
        return {**CALL, "tool_calls": [{**CALL["tool_calls"][0], "id": f"call_{number}"}]}
    return {"role": "tool", "tool_call_id": f"call_{number - 1}", "content": "y" * 340}


CASES = (
    Case("append, server time", None, lambda number: MESSAGE, MINIMAL, 1.8),
    Case("append at the cap, server time", 100, lambda number: MESSAGE, MINIMAL_CAPPED, 1.8),
    Case(
        "append with a batch ID, server time",
        100,
        lambda number: MESSAGE,
        MINIMAL_CAPPED,
        1.8,
        lambda number: uuid.uuid4().hex,
    ),
    Case("call or result, server time", None, _call, MINIMAL, 2.0),
    Case("call or result at the cap, server time", 100, _call, MINIMAL_CAPPED, 2.0),
    Case("append_new, server time", None, lambda number: MESSAGE, MINIMAL, None, way="append_new"),
    Case("append or create, server time", None, lambda number: MESSAGE, MINIMAL, None, way="append or create"),
)


def pipelined(client: redis.Redis, commands: Sequence[Sequence[Any]]) -> float:
    """Send commands in one pipeline. Return the server's time for one of them in µs."""
    before = client.info("commandstats").get("cmdstat_evalsha", {"usec": 0, "calls": 0})
    pipe = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    pipe.execute()
    after = client.info("commandstats")["cmdstat_evalsha"]
    return float(after["usec"] - before["usec"]) / float(after["calls"] - before["calls"])


def server_time_rows(server: Server, *, rounds: int = 60) -> list[Row]:
    """Measure each kind of append against the minimal script."""
    client = redis.Redis(host="127.0.0.1", port=server.port)
    with SessionCache.from_url(server.url) as cache:
        rows = [_server_time(client, cache, case, rounds) for case in CASES]
    client.close()
    return rows


def _command(case: Case, keys: SessionKeys, incarnation: str, number: int) -> Sequence[Any]:
    """Return the command that appends a message in the way of the case."""
    messages = [case.messages(number)]
    if case.way == "append_new":
        return append_new(
            keys, incarnation, "", messages, estimate_tokens, ids=[f"id{number}"], batch_id=None, expected_rev=None, seen=0,
            knows_format=True, bounds=DEFAULT_BOUNDS,
        ).command  # fmt: skip
    is_creating = case.way == "append or create"
    call = message_commands.append(
        keys,
        "" if is_creating else incarnation,
        "",
        messages,
        estimate_tokens,
        knows_format=True,
        batch_id=case.batch_id(number),
    )
    if is_creating:
        given = {"user_id": "mia", "agent_id": "support"}
        Creation.of(given, SessionSettings(), estimate_tokens, DEFAULT_BOUNDS).precede(call, keys, new_incarnation())
    return call.command


def _script(case: Case) -> Script:
    if case.way == "append_new":
        return script("messages/append_new")
    return creating("messages/append") if case.way == "append or create" else script("messages/append")


def _server_time(client: redis.Redis, cache: SessionCache, case: Case, rounds: int) -> Row:
    session = cache.create(user_id="mia", agent_id="support", max_messages=case.cap)
    keys = session_keys(cache.namespace, session.id)
    session.append(MESSAGE)
    incarnation = session.info().incarnation
    number = 0

    def ours() -> list[Sequence[Any]]:
        nonlocal number
        commands: list[Sequence[Any]] = []
        for _ in range(PIPELINE):
            commands.append(_command(case, keys, incarnation, number))
            number += 1
        return commands

    sha = client.script_load(case.minimal)
    raw_keys = [f"raw:{{{uuid.uuid4().hex[:8]}}}:{kind}:{session.id}" for kind in ("session", "messages")]
    client.hset(raw_keys[0], mapping={"incarnation": "0123456789ab", "counters": COUNTERS, "status": "active"})
    theirs = [["EVALSHA", sha, 2, *raw_keys, RAW, COUNTERS, "2763700000000"]] * PIPELINE
    client.script_load(_script(case).source)
    pairs = []
    for turn in range(rounds + 4):
        pair = pipelined(client, ours()), pipelined(client, theirs)
        if turn >= 4:
            pairs.append(pair)
    client.delete(*raw_keys)
    session.delete()
    ratio = statistics.median(one / other for one, other in pairs)
    raw = statistics.median(other for _, other in pairs)
    return Row(case.name, ratio * raw, raw, "µs", case.bar)


def memory_rows(server: Server) -> list[Row]:
    """Measure the memory of sessions with all their keys, and of a bare list of the payloads."""
    client = redis.Redis(host="127.0.0.1", port=server.port)
    with SessionCache.from_url(server.url) as cache:

        def size(*keys: str) -> float:
            return float(sum(client.memory_usage(key, samples=0) or 0 for key in keys))

        def session(count: int) -> float:
            made = cache.create(user_id="mia", agent_id="support")
            for _ in range(count):
                made.append(MESSAGE)
            keys = session_keys(cache.namespace, made.id)
            return size(keys.session, keys.messages)

        client.delete("bare")
        client.rpush("bare", *[RAW] * 100)
        rows = [
            Row("a session of 100 messages", session(100), size("bare"), "bytes", 1.1),
            Row("a session after 1,000 messages", session(1000), size("bare"), "bytes", 1.1),
        ]
        client.delete("bare")
        client.rpush("bare", RAW)
        rows.append(Row("a session of one message / 1,400 B", session(1), 1400, "bytes", 1.0))
        rows.append(Row("an empty session", session(0), size("bare"), "bytes"))
    client.close()
    return rows


def main() -> None:
    """Print the rows of one server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=list(binaries()), default="path")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    server = Server(binaries()[arguments.server])
    try:
        for row in server_time_rows(server, rounds=arguments.rounds) + memory_rows(server):
            print(f"{row.name:42}{row.ours:>10,.2f} {row.unit:6}{row.raw:>10,.2f} {row.unit:6}{row.ratio:>6.2f}")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
