"""Worst cases of what sessions share: indexes, queues, workers, documents."""

from __future__ import annotations

from redis_sessions import CheckpointWrite
from redis_sessions._core.commands import index_entries, leases, namespaces, run_queues, workers
from redis_sessions._core.commands.index_entries import EntryUpdate, IndexRecord
from redis_sessions._core.protocol.keys import agent_keys, document_keys, index_keys, session_keys, worker_keys

from .sessions import CHANNEL
from .stage import LONG, Case, Stage

SESSIONS = 100_000


def _fill(stage: Stage, key: str, scores: dict[str, float]) -> None:
    items = list(scores.items())
    for first in range(0, len(items), 5000):
        stage.client.zadd(key, dict(items[first : first + 5000]))


def indexes(stage: Stage) -> None:
    """Indexes with 100,000 sessions, many of the same time, and pages of sessions with large metadata."""
    cache, context = stage.cache, stage.cache._context
    count = stage.scaled(SESSIONS)
    record = IndexRecord("main", "u", "a", None, tuple(f"tag{n}" for n in range(64)))
    for _ in range(stage.scaled(1000)):
        cache.create(user_id="u", metadata={"m": "x" * 60_000}, tags=[f"tag{n}" for n in range(8)]).append(
            {"role": "user", "content": "x" * 4000}
        )
    tag = session_keys(cache.namespace, "s1").tag
    entries = record.entries(cache.namespace, tag)
    for entry in entries[:3]:
        for zset in entry[2:]:
            _fill(
                stage, zset, {f"gone{number}": 1.0 if "created" in zset else 1000.0 + number for number in range(count)}
            )
    run = context.executor.run
    with stage.measured():
        cache.list(1000, tags=["tag1"])
        cache.list(50, user_id="u")
        cache.list(50)
        cache.list(50, order="created", user_id="u")
        cache.list(50, tags=["tag1"])
        cache.count(user_id="u")
    with stage.measured():
        for call in index_entries.put(entries, [EntryUpdate("n1", "active", 1, 2)], 1000, is_cluster=False):
            run(call)
        for call in index_entries.announce(entries, "s1", 1000, is_cluster=False):
            run(call)
        run(index_entries.raise_entries(entries[:1], "s1"))
        for removal in index_entries.remove(
            entries, [f"gone{number}" for number in range(1000)], 2**52, is_cluster=False
        ):
            run(removal)
        run(index_entries.sample(entries[0], 20))


def queues(stage: Stage) -> None:
    """A queue with 100,000 runs of 10,000 roots, all due, and 1,000 waiting workers."""
    cache, context = stage.cache, stage.cache._context
    keys = agent_keys(cache.namespace, "busy")
    count = stage.scaled(SESSIONS)
    work = {
        f"agent:busy:subagent:{number:032x} root{number % stage.scaled(LONG)}": float(number) for number in range(count)
    }
    _fill(stage, keys.queue, work)
    _fill(stage, keys.check_at, work)
    run = context.executor.run
    with stage.measured():
        for _ in range(40):
            run(run_queues.dequeue(keys, "claim", "n" * 16, 1000, CHANNEL, False))
        run(run_queues.dequeue(keys, "check"))
        some = next(iter(work))
        run(run_queues.schedule(keys, some, "after", 1000, check="after", check_ms=1000))
        run(run_queues.schedule(keys, some, "now"))
        run(run_queues.schedule(keys, some, "remove"))
    for _ in range(count // 250):
        run(run_queues.dequeue(keys, "claim", "n" * 16, 1000, CHANNEL, False))
    with stage.measured():
        for _ in range(40):
            run(run_queues.dequeue(keys, "claim", "n" * 16, 1000, CHANNEL, False))
        run(run_queues.set_bound(keys, 5))
        run(run_queues.dequeue(keys, "claim", "n" * 16, 1000, CHANNEL, False))
    idle = agent_keys(cache.namespace, "idle")
    for number in range(stage.scaled(1000)):
        run(run_queues.dequeue(idle, "claim", f"{number:016x}", 600_000, CHANNEL, False))
    with stage.measured():
        run(run_queues.dequeue(idle, "claim", "n" * 16, 600_000, CHANNEL, False))
        run(run_queues.schedule(idle, "agent:idle:subagent:0 root", "now"))
        run(run_queues.set_bound(idle, 5))


def running(stage: Stage) -> None:
    """A bound of 10,000 running runs that all ended unheard."""
    cache, context = stage.cache, stage.cache._context
    keys = agent_keys(cache.namespace, "busy")
    _fill(stage, keys.running, {f"agent:busy:subagent:{number:032x} root": 1.0 for number in range(stage.scaled(LONG))})
    stage.client.set(keys.bound, 10_000)
    with stage.measured():
        context.executor.run(run_queues.dequeue(keys, "claim", "n" * 16, 1000, CHANNEL, False))


def registry(stage: Stage) -> None:
    """10,000 workers with records of 60 KB, and 10,000 categories of documents."""
    cache, context = stage.cache, stage.cache._context
    keys = worker_keys(cache.namespace)
    run = context.executor.run
    for number in range(stage.scaled(LONG)):
        big = number < 200
        holding = [f"session{n}" * 20 for n in range(300)] if big else ["s"]
        run(workers.heartbeat(keys, workers.Registrant(f"w{number}", "o", ("a",), 1, 30_000), holding, 1))
    with stage.measured():
        run(namespaces.claim("a-new-one"))
        cache.workers(limit=1000)
        run(workers.heartbeat(keys, workers.Registrant("w1", "o", ("a",), 1, 30_000), ["s"] * 10, 1))
        run(workers.leave(keys, "w5"))
    leases_index = index_keys(cache.namespace, "leases")
    _fill(stage, leases_index.ids, {f"s{number}": 2.0**45 + number for number in range(stage.scaled(SESSIONS))})
    _fill(stage, leases_index.ids, {f"old{number}": 1.0 for number in range(stage.scaled(SESSIONS))})
    session = cache.create()
    with stage.measured():
        cache.leases(1000)
        run(leases.update_index(leases_index, session.id, 30_000))
    categories = index_keys(cache.namespace, "documents")
    _fill(stage, categories.ids, {f"c{number}": 1.0 + number for number in range(stage.scaled(LONG))})
    with stage.measured():
        cache.categories(1000)
    documents = cache.documents("many")
    pipe = stage.client.pipeline(transaction=False)
    for number in range(stage.scaled(LONG)):
        pipe.hset(document_keys(cache.namespace, "many").documents, f"d{number}.md", "x" * 1000)
    pipe.execute()
    for number in range(20):
        documents.put(f"large{number}", "x" * stage.message_bytes)
    with stage.measured():
        documents.list(1000)
        documents.get_many([f"d{number}" for number in range(1000)])
        documents.put_many({f"d{number}": "x" * 900 for number in range(1000)}, ttl=3600)
        documents.list(1000)
        documents.get("d1")
        documents.delete("d2")


def checkpoints(stage: Stage) -> None:
    """A thread of 10,000 checkpoints with 20 channels, one with 1,000 blobs, one with 20 MB, and one with 5,000 writes."""
    thread = stage.cache.checkpoints("many")
    names = [f"channel{number}" for number in range(20)]
    for number in range(stage.scaled(LONG)):
        changed = names[number % 20]
        versions = {name: str(number - (number - at) % 20) for at, name in enumerate(names)}
        thread.put(f"{number:06}", state=b"x" * 300, versions=versions, blobs={changed: b"x" * 500}, label="run")
    wide = {f"channel{number}": "wide" for number in range(stage.scaled(1000))}
    large = {f"channel{number}": "large" for number in range(max(20, 1_200_000 // stage.message_bytes))}
    many = [CheckpointWrite(f"task{number}", 0, "channel", b"x" * 100) for number in range(stage.scaled(5000))]
    with stage.measured():
        thread.put("wide", state=b"x", versions=wide, blobs=dict.fromkeys(wide, b"x" * 500))
        thread.put("wide", state=b"x", versions=wide)
        thread.put("large", state=b"x", versions=large, blobs=dict.fromkeys(large, b"x" * stage.message_bytes))
        thread.write("wide", many)
        for id in ("large", "wide", "000000"):
            thread.get(id)
        thread.page(1000)
        stage.cache.threads(labels=["run"])
        thread.drop(ids=[("", "wide"), ("", "large")])
        thread.drop(keep=1)
        thread.drop(labels=["run"])


CASES = [
    Case("a thread of 10,000 checkpoints", checkpoints),
    Case("indexes of 100,000 sessions", indexes),
    Case("a queue of 100,000 runs", queues),
    Case("10,000 running runs that ended", running),
    Case("10,000 workers, 100,000 leases and categories", registry),
]
