"""Worst cases of shared scopes, and of snapshots."""

from __future__ import annotations

from redis_sessions import SessionCache
from redis_sessions._core.commands import outbox, shared
from redis_sessions._core.protocol.shared_keys import scope_index_keys, shared_keys
from redis_sessions._sync.services.shared_scopes import SharedScopes
from redis_sessions.codecs import EVERYTHING, Zstd

from .stage import BATCH, Case, Stage, text

SCOPES = 100_000


def scopes(stage: Stage) -> None:
    """A scope at its bounds of values and of bytes, with 1,024 results, and an index of 100,000 scopes without values."""
    cache = stage.cache
    many, large, run = cache.shared("many"), cache.shared("large"), cache._context.executor.run
    for number in range(stage.scaled(1024)):
        many.add("n", batch_id=f"b{number}")
    values = {f"v{number}": "x" * 400 for number in range(stage.scaled(BATCH) - 2)}
    index = scope_index_keys(cache.namespace)
    names = [f"gone{number}" for number in range(stage.scaled(SCOPES))]
    for first in range(0, len(names), 5000):
        stage.client.zadd(index.names, dict.fromkeys(names[first : first + 5000], 0))
        stage.client.zadd(index.times, dict.fromkeys(names[first : first + 5000], 1.0))
    with stage.measured():
        many.patch(values)
        many.add("n")
        many.all()
        large.put("x", "x" * (stage.message_bytes - 100))
        large.get("x")
        run(shared.registered(index, "gone", None, 1001))
        run(shared.unregister(index, names[:1000]))
        many.clear()


def outboxes(stage: Stage) -> None:
    """A session with 100 appends whose writes of a large scope wait, and the reencryption of that scope."""
    session, context = stage.session(), stage.cache._context
    change = shared.change("s", {"v": "x" * (stage.message_bytes // 100)}, (), context.bounds, None)
    original = SharedScopes.apply_own
    SharedScopes.apply_own = lambda *arguments: None  # type: ignore[method-assign]
    try:
        for _ in range(stage.scaled(100) - 1):
            session.append(text(400), shared={"s": {"v": "x" * (stage.message_bytes // 100)}})
    finally:
        SharedScopes.apply_own = original  # type: ignore[method-assign]
    with stage.measured():
        session.append(text(400), shared={"s": {"v": 1}})
        context.executor.run(shared.write(shared_keys(stage.cache.namespace, "s"), change, "b", context.bounds))
        context.executor.run(outbox.read(session._keys, ""))
    with SessionCache.from_url(stage.server.url, codecs=[Zstd()], encode=EVERYTHING) as cache, stage.measured():
        for found in cache.reencrypt():
            assert found.problem is None, found


def snapshots(stage: Stage) -> None:
    """A session of 10,000 messages with a state and metadata at their bounds."""
    session = stage.session(metadata={f"m{number}": "x" * 60 for number in range(stage.scaled(800))})
    for _ in range(stage.scaled(10_000) // 500 + 1):
        session.append(*[text(400)] * 500)
    session.state.patch({f"s{number}": "x" * 900 for number in range(stage.scaled(1000))})
    with stage.measured():
        session.load()
        stage.cache.load([session.id], limit=10)


CASES = [
    Case("a scope of 2,000 values, and 100,000 scopes", scopes),
    Case("100 appends whose writes of a scope wait", outboxes),
    Case("a snapshot of 10,000 messages", snapshots),
]
