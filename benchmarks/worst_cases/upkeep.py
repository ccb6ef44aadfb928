"""Worst cases of what operators do: reencrypt, repair, forget."""

from __future__ import annotations

from redis_sessions import SessionCache
from redis_sessions.cli.repair import Repairer
from redis_sessions.codecs import EVERYTHING, Zstd

from .stage import LONG, Case, Stage, text

USER = "mia"


def reencrypt(stage: Stage) -> None:
    """A session of 10,000 messages with a large state and a part of 10,000 messages, and a category of 1,000 documents."""
    session = stage.session(metadata={"m": "x" * 30_000})
    for _ in range(stage.scaled(LONG) // 500 + 1):
        session.append(*[text(400)] * 500)
    for number in range(stage.scaled(16)):
        session.state.put(f"s{number}", "x" * 60_000)
    for number in range(stage.scaled(1000)):
        stage.cache.documents("notes").put(f"n{number}", "x" * 3000)
    for _ in range(stage.scaled(20)):
        session.part("p").append(*[text(400)] * 500)
    url, everything = stage.server.url, EVERYTHING
    with SessionCache.from_url(url, codecs=[Zstd()], encode=everything) as cache, stage.measured():
        for found in cache.reencrypt():
            assert found.problem is None, found


def repair(stage: Stage) -> None:
    """A session with 1,000 damaged messages of 5,000 and 1,000 damaged values, and another one that is moved as a whole."""
    session, other = stage.session(), stage.session()
    for one in (session, other):
        for _ in range(stage.scaled(5000) // 500 + 1):
            one.append(*[text(400)] * 500)
    for number in range(stage.scaled(1000)):
        stage.client.lset(session._keys.messages, number * 4 % 500, "damaged")
        stage.client.hset(session._keys.session, f"state.{number}", "{")
    stage.client.hset(other._keys.session, "counters", "damaged")
    stage.session().spawn("clerk")
    stage.client.zadd(next(iter(stage.client.scan_iter("*:queue:*"))), {"{": 1})
    with stage.measured():
        assert list(Repairer(stage.cache, False).run(lambda checked: None))


def forget(stage: Stage) -> None:
    """A user with 1,000 sessions, channels among them, and a result in the session of another user."""
    cache = stage.cache
    for _ in range(stage.scaled(1000)):
        cache.create(user_id=USER).append(text(400))
    cache.conversation(f"desk {USER}".replace(" ", "-"), user_id=USER).append(text(400))
    child = cache.create(user_id="bob").spawn("clerk", description={"user_id": USER})
    cache.session(child.session_key or "").complete("x" * 100_000)
    with stage.measured():
        cache.forget(USER)


CASES = [
    Case("reencryption of 10,000 messages", reencrypt),
    Case("repair of 1,000 messages and values", repair),
    Case("a user of 1,000 sessions is forgotten", forget),
]
