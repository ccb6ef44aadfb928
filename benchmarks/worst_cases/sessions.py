"""Worst cases of trees, inboxes, leases, state, loops, and copies of sessions."""

from __future__ import annotations

from contextlib import suppress

from redis_sessions import Session, SessionsError
from redis_sessions._core.commands import leases, trees
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._sync.services.tree_members import list_members
from tests.support.lease_waiters import elsewhere

from .stage import LONG, Case, Stage, text

MEMBERS = 5000
"""The most members of a tree."""
WAITERS = 1000
CHANNEL = "chan:wake:0123456789ab"
TREE = {"max_children": None, "max_active": None, "max_descendants": MEMBERS, "max_inbox": 1000}


def _tree(stage: Stage, count: int = MEMBERS) -> tuple[Session, list[str]]:
    """Return the root of a tree with as many children as can be, and their IDs."""
    root = stage.session(**TREE)
    ids = [
        root.spawn("worst", task="t", report=False).raise_if_refused().session_key for _ in range(stage.scaled(count))
    ]
    return root, [id for id in ids if id]


def members(stage: Stage) -> None:
    """Spawns, lists, requests and ends in a full tree."""
    root, ids = _tree(stage, MEMBERS - 10)
    cache = stage.cache
    with stage.measured():
        root.spawn("worst", task="t", label="l").raise_if_refused()
        root.spawn("worst", task="t", label="l")
        list_members(cache._context.executor, session_keys(cache.namespace, root.id), "", recursive=True)
        cache.by_label("l", root=root.id)
        for id in ids[-50:]:
            cache.session(id).request_cancel()
        cache.session(ids[-1]).is_cancel_requested()
        with suppress(SessionsError):
            root.join(1, timeout=0)
    with stage.measured():
        for id in ids[:20]:
            cache.session(id).cancel()
        run = cache.claim("worst")
        assert run is not None
        run.complete("done")
    with stage.measured():
        root.request_cancel()
        root.cancel()
    with stage.measured():
        root.delete()


def many_marks(stage: Stage) -> None:
    """Each of the members of a tree was asked to stop, or was cancelled, by itself."""
    root, ids = _tree(stage, MEMBERS - 10)
    cache = stage.cache
    for id in ids:
        cache.session(id).request_cancel()
    with stage.measured():
        for id in ids[:20]:
            cache.session(id).is_cancel_requested()
            cache.session(id).request_cancel()
            cache.session(id).append(text(10))
        for id in ids[:20]:
            cache.session(id).cancel()
        root.spawn("worst").raise_if_refused()
        root.fail()


def pruned(stage: Stage) -> None:
    """The members of a full tree have ended and are gone."""
    root, ids = _tree(stage)
    root.patch(max_descendants=len(ids))
    cache, client = stage.cache, stage.client
    for id in ids:
        cache.session(id).complete()
    for id in ids:
        client.delete(session_keys(cache.namespace, id).session)
    with stage.measured():
        for _ in range(20):
            root.spawn("worst")
    with stage.measured():
        root.delete()


def deep_results(stage: Stage) -> None:
    """A parent with 1,000 results in its inbox, each of 1 MB or tiny, and the end of the parent."""
    for size, count in ((10, LONG // 2), (stage.message_bytes // 10, 100)):
        root = stage.session(**TREE)
        ids = [root.spawn("worst").raise_if_refused().session_key or "" for _ in range(stage.scaled(count))]
        lease = root.lease(ttl=3600)
        lease.acquire()
        for id in ids:
            stage.cache.session(id).complete("r" * size)
        with stage.measured():
            root.info()
            lease.info()
            lease.receive()
        lease.release()
    root = stage.session(**TREE)
    ids = [root.spawn("worst").raise_if_refused().session_key or "" for _ in range(stage.scaled(LONG // 2))]
    lease = root.lease(ttl=3600)
    lease.acquire()
    for id in ids:
        stage.cache.session(id).complete("r")
    with stage.measured():
        lease.release()


def inbox(stage: Stage) -> None:
    """An inbox of as many messages as can wait, tiny or of 1 MB, is drained by each of its ways."""
    for size, count in ((10, 1000), (stage.message_bytes, 20)):
        for way in ("receive", "release", "cancel"):
            session = stage.session(max_inbox=1000)
            lease = session.lease(ttl=3600)
            elsewhere(lease.acquire)  # so that this thread is another writer
            for _ in range(stage.scaled(count)):
                with suppress(SessionsError):
                    session.send(text(size))
            with stage.measured():
                if way == "receive":
                    lease.receive()
                elif way == "release":
                    lease.release()
                else:
                    session.cancel()


def lease_waiters(stage: Stage) -> None:
    session, cache = stage.session(), stage.cache
    context, keys = cache._context, session_keys(cache.namespace, session.id)
    lease = session.lease(ttl=3600)
    lease.acquire()
    count = stage.scaled(WAITERS)
    for number in range(count):
        context.executor.run(
            leases.acquire(keys, "", f"{number:016x}", f"owner{number}" + "x" * 100, 60_000, 600_000, CHANNEL, False)
        )
    with stage.measured():
        for number in range(20):
            context.executor.run(leases.acquire(keys, "", f"{number:016x}", "o", 60_000, 600_000, CHANNEL, False))
        with suppress(SessionsError):
            context.executor.run(leases.acquire(keys, "", "f" * 16, "o", 60_000, 600_000, CHANNEL, False))
        lease.renew()
        lease.info()
        session.info()
        for number in range(100, 120):
            context.executor.run(leases.withdraw(keys, "", f"{number:016x}"))
        session.send("hello")
        lease.release()
        session.lease(owner="operator").release(force=True)
        session.cancel()
        session.delete()


def dead_waiters(stage: Stage) -> None:
    """A lease with 1,000 waiters whose processes are gone."""
    session, cache = stage.session(), stage.cache
    context, keys = cache._context, session_keys(cache.namespace, session.id)
    lease = session.lease(ttl=3600)
    lease.acquire()
    for number in range(stage.scaled(WAITERS)):
        context.executor.run(leases.acquire(keys, "", f"{number:016x}", "o", 60_000, 600_000, CHANNEL, True))
    with stage.measured():
        lease.release()


def joiners(stage: Stage) -> None:
    """A session with 1,000 join waiters."""
    root, ids = _tree(stage, 20)
    context, keys = stage.cache._context, session_keys(stage.cache.namespace, root.id)
    for number in range(stage.scaled(WAITERS)):
        context.executor.run(
            trees.list_members(keys, "", nonce=f"{number:016x}", wait_ms=600_000, target=1, channel=CHANNEL)
        )
    with stage.measured():
        with suppress(SessionsError):  # the bound of waiters is reached
            context.executor.run(
                trees.list_members(keys, "", nonce="f" * 16, wait_ms=600_000, target=1, channel=CHANNEL)
            )
        stage.cache.session(ids[0]).complete()
        root.complete()


def state(stage: Stage) -> None:
    """State of the most fields, and of large values."""
    session = stage.session()
    values = {f"name{number}": "v" for number in range(stage.scaled(9000))}
    with stage.measured():
        session.state.patch(values)
        session.state.put("other", 1)
        session.state.add("n", 1)
        session.state.all()
        session.info()
        session.fork()
        session.patch(metadata={f"m{number}": 1 for number in range(900)})
        stage.cache.list(10)
        session.patch(name="n")
        list(session.export())
        session.state.clear()
    session = stage.session()
    with stage.measured():
        session.state.patch({f"n{number}": "x" * (stage.message_bytes // 10) for number in range(10)})
    session = stage.session()
    for number in range(stage.scaled(100)):
        session.state.put(f"n{number}", "x" * stage.message_bytes)
    with stage.measured():
        session.state.all()
        session.info()
        session.append(text(10))
        session.fork()
        list(session.export())


def loops(stage: Stage) -> None:
    session = stage.session()
    loop = session.start_loop("loop")
    loop.run()
    with suppress(SessionsError):  # the ledger has its bound
        for number in range(stage.scaled(LONG)):
            loop.add_event({"n": number})
            if number % 10 == 0:
                loop.add_turn("t", output="o")
                loop.record_usage(f"step{number}", {"input": 1})
    with stage.measured():
        with suppress(SessionsError):
            loop.add_event({"n": 1})
        session.ledger()
        loop.events(1000)
        loop.events()
        loop.turns()
        loop.select()
        session.info()
        session.append(text(10))
        with suppress(SessionsError):
            session.state.put("n", 1)
        loop.complete()


def parts(stage: Stage) -> None:
    """A part of 100,000 messages with IDs, 20,000 parts, and a part of 100 MB."""
    session = stage.session()
    long = session.part("long")
    for first in range(0, stage.scaled(LONG * 10), 1000):
        long.append(*[text(10)] * 1000, ids=[str(number) for number in range(first, first + 1000)])
    for number in range(stage.scaled(20_000)):
        session.part(f"part{number}").append(text(10))
    wide = session.part("wide")
    for _ in range(stage.scaled(100)):
        wide.append(text(stage.message_bytes))
    with stage.measured():
        long.append(*[text(10)] * 1000, ids=[f"new{number}" for number in range(1000)])
        long.append(text(10), ids=["1"])
        session.append_new(*[text(10)] * 1000, ids=[f"new{number}" for number in range(1000)])
        long.put(text(10), "1")
        long.history(1000)
        wide.history()
        session.parts(limit=1000)
        list(session.export())
        long.clear()
        wide.delete()


def transfer(stage: Stage) -> None:
    """The export and import of a session of 100 MB, and of a tree of the most members."""
    from .transcripts import _long, _wide

    wide, long = _wide(stage), _long(stage)
    root, _ = _tree(stage, 390)
    for session in (wide, long, root):
        with stage.measured():
            lines = list(session.export())
            stage.cache.import_sessions(lines, on_conflict="replace")
        session.delete()
        with stage.measured():
            stage.cache.import_sessions(lines)


def delete_large(stage: Stage) -> None:
    from .transcripts import _long, _wide

    wide, long = _wide(stage), _long(stage)
    with stage.measured():
        wide.delete()
        long.delete()


def lifecycle(stage: Stage) -> None:
    """Call what is small in any case."""
    cache = stage.cache
    with stage.measured():
        session = cache.create(
            user_id="u", agent_id="a", tags=[f"tag{n}" for n in range(60)], metadata={"m": "x" * 60_000}
        )
        cache.get_or_create(session.id)
        cache.conversation("channel")
        session.touch()
        session.publish("x")
        session.check_limits()
        cache.list(50, user_id="u")
        session.patch(name="x" * 100, metadata={"m": "y" * 60_000})
        session.spawn("a", delay=1).raise_if_refused()
        run = cache.claim("a", wait=2)
        assert run is not None
        run.fail(reason="r")
        cache.session(run.id).retry()
        loop = session.start_loop("loop")
        loop.run()
        loop.record_usage("step", {"input": 1})
        cache.recover()
        documents = cache.documents("category")
        documents.put("name", "x" * stage.message_bytes)
        documents.get("name")
        documents.list()
        documents.delete("name")
        cache.categories()
        cache.leases()
        cache.workers()
        cache.limit_agent("a", max_running=1)


CASES = [
    Case("a tree of 5,000 children", members),
    Case("a tree with 5,000 marks", many_marks),
    Case("a tree of 5,000 that are gone", pruned),
    Case("results of 5,000 children", deep_results),
    Case("inbox of 1,000, and of 20 MB", inbox),
    Case("1,000 lease waiters", lease_waiters),
    Case("1,000 lease waiters that are gone", dead_waiters),
    Case("1,000 join waiters", joiners),
    Case("state of 9,000 fields, and of 100 MB", state),
    Case("a ledger of 10,000 events", loops),
    Case("100,000 messages in a part, and 20,000 parts", parts),
    Case("export and import", transfer),
    Case("deletion of 100 MB", delete_large),
    Case("small calls", lifecycle),
]
