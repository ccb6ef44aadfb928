"""Masters that die or hang: what was acknowledged is there, nothing is doubled, and the service is back soon."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from redis_sessions import LeaseLost, NotReplicated, SessionCache, SessionRegressed
from redis_sessions._core.keys import session_keys
from redis_sessions._sync import masters, nodes
from tests.history import events, problems, workers, write_plainly, write_turns
from tests.servers import Sentinels, Server, await_true, binaries, cluster

SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))
BINARIES = {name: path for name, path in binaries().items() if name in ("valkey-9", "path")}
X = {"role": "user", "content": "x"}
NAMES = ["a", "b"]


@contextmanager
def sentinels(name: str, replicas: int = 2) -> Iterator[Sentinels]:
    found = Sentinels(BINARIES[name], replicas)
    try:
        yield found
    finally:
        found.stop()


def fail_over(found: Sentinels, how: str) -> tuple[Server, float]:
    """The master that was, and when another one was elected."""
    before = found.master()
    if how == "kill":
        before.kill()
    else:
        before.pause()
    others = [node for node in found.nodes if node is not before and node.process.poll() is None]
    await_true(lambda: any(node.client.execute_command("ROLE")[0] == b"master" for node in others))
    return before, time.time()


def is_in_step(replica: Server) -> bool:
    """Whether it has all that its master has; one that does not could be elected, and take the rest with it."""
    return bool(replica.client.info("replication").get("master_link_status") == "up")


def back_after(noted: list[dict[str, Any]], elected: float) -> float:
    """How long after the election something was acknowledged again."""
    told = [float(event["at"]) for event in noted if event["what"] == "acknowledged"]
    return min(at for at in told if at > elected) - elected


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("name", list(BINARIES))
def test_a_sentinel_failover_under_load(name: str, how: str, namespace: str, tmp_path: Path) -> None:
    """400 appends a second: each there once or unknown and settled, the service back within 2 s of the election."""
    options: dict[str, Any] = {"acks": 1, "retry_for": 20}
    with sentinels(name) as found:
        with SessionCache.from_url(found.url, namespace=namespace) as cache:
            cache.create("shared", max_messages=None)
        with workers(write_plainly, NAMES, found.url, namespace, str(tmp_path), 6.5, 200.0, **options):
            time.sleep(1.5)
            _, elected = fail_over(found, how)
        noted = events(tmp_path)
        assert len([event for event in noted if event["what"] == "acknowledged"]) > 500
        assert back_after(noted, elected) < 2
        with SessionCache.from_url(found.url, namespace=namespace) as cache:
            assert problems(cache.session("shared").history(), noted) == []


def test_without_asking_the_sentinels_a_stopped_master_is_waited_for(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: nothing breaks, so nobody notices before the call's own timeout."""
    name = "valkey-9"
    monkeypatch.setattr(nodes, "EVERY", 1e6)
    assert masters.EVERY < 1
    with sentinels(name, 1) as found, SessionCache.from_url(found.url, namespace=namespace, timeout=6) as cache:
        session = cache.create("a")
        session.append(X)
        _, elected = fail_over(found, "stop")
        session.append(X)
        assert time.time() - elected > 2


@pytest.mark.skipif(not SOAK, reason="ten failovers take minutes: make soak")
@pytest.mark.parametrize("name", list(BINARIES))
def test_ten_failovers_lose_nothing_that_a_replica_acknowledged(name: str, namespace: str, tmp_path: Path) -> None:
    """`acks=1`, the master killed ten times and brought back as the replica: 0 acknowledged appends lost."""
    with sentinels(name, 1) as found:
        with SessionCache.from_url(found.url, namespace=namespace) as cache:
            cache.create("shared", max_messages=None)
        options: dict[str, Any] = {"acks": 1, "retry_for": 30}
        with workers(write_plainly, NAMES, found.url, namespace, str(tmp_path), 110.0, 200.0, **options):
            for _ in range(10):
                time.sleep(1.5)
                before, _ = fail_over(found, "kill")
                after = found.await_another(before)
                before.options = ("--replicaof", "127.0.0.1", str(after.port), "--repl-diskless-sync-delay", "0")
                before.start()
                for replica in found.nodes:
                    if replica is not after:
                        await_true(partial(is_in_step, replica))
        with SessionCache.from_url(found.url, namespace=namespace) as cache:
            assert problems(cache.session("shared").history(), events(tmp_path)) == []


@contextmanager
def pair(name: str) -> Iterator[tuple[Server, Server]]:
    """A master and its replica."""
    master = Server(BINARIES[name], "--repl-diskless-sync-delay", "0")
    replica = Server(BINARIES[name], "--replicaof", "127.0.0.1", str(master.port))
    try:
        await_true(lambda: replica.client.info("replication")["master_link_status"] == "up")
        await_true(lambda: master.client.execute_command("WAIT", 1, 100) == 1)
        yield master, replica
    finally:
        replica.go_on()
        replica.stop()
        master.stop()


@pytest.mark.parametrize("name", list(BINARIES))
def test_a_write_that_no_replica_acknowledged_says_so(name: str, namespace: str) -> None:
    """With how many did, and the batch id by which to ask again; with `acks=0` it would be acknowledged, and lost."""
    with (
        pair(name) as (master, replica),
        SessionCache.from_url(master.url, namespace=namespace, acks=1, timeout=1) as cache,
        SessionCache.from_url(master.url, namespace=namespace) as careless,
    ):
        session = cache.create("a")
        assert session.append(X).last_seq == 1
        replica.client.execute_command("REPLICAOF", "NO", "ONE")
        with pytest.raises(NotReplicated, match="0 of 1 replicas") as told:
            session.append(X)
        assert (told.value.acked, told.value.wanted) == (0, 1)
        with pytest.raises(NotReplicated):
            session.append(X, batch_id=told.value.batch_id)
        with pytest.raises(NotReplicated, match="replicas are connected"):
            session.state.put("a", 1)
        assert careless.session("a").append(X).last_seq == 3
        with pytest.raises(NotReplicated):
            session.lease(60).acquire()
        await_true(lambda: careless.session("a").lease().info() is None)
        master.kill()
        with SessionCache.from_url(replica.url, namespace=namespace) as after:
            assert after.session("a").info().last_seq == 1


def test_a_repeated_call_waits_for_the_first_ones_write(namespace: str) -> None:
    """On a connection of its own, which wrote nothing before: a duplicate is not taken for replicated."""
    with pair("valkey-9") as (master, replica):
        url = master.url
        with SessionCache.from_url(url, namespace=namespace) as cache:
            cache.create("a").append(X, batch_id="b")
        with SessionCache.from_url(url, namespace=namespace, acks=1, timeout=1) as cache:
            assert cache.session("a").append(X, batch_id="b").duplicate
        replica.pause()
        with SessionCache.from_url(url, namespace=namespace, acks=1, timeout=1) as cache, pytest.raises(NotReplicated):
            cache.session("a").append(X, batch_id="b")


def test_a_server_that_lost_what_it_acknowledged_is_found_out(namespace: str) -> None:
    """SessionRegressed with both seqs; opened anew, what is held is appended again, and what survived is recognised."""
    server = Server(BINARIES["valkey-9"])
    try:
        with SessionCache.from_url(server.url, namespace=namespace, retry_for=10) as cache:
            session = cache.create("a")
            held = {f"b{number}": {"role": "user", "content": str(number)} for number in range(6)}
            for number, (batch_id, message) in enumerate(held.items()):
                session.append(message, batch_id=batch_id)
                if number == 2:
                    server.client.save()
            server.kill()
            server.start()
            with pytest.raises(SessionRegressed) as told:
                session.append(X)
            assert (told.value.known, told.value.seen) == (3, 6)
            for read in (session.history, session.info):
                with pytest.raises(SessionRegressed):
                    read()
            session = cache.open("a")
            results = [session.append(message, batch_id=batch_id) for batch_id, message in held.items()]
            assert [result.duplicate for result in results] == [True] * 3 + [False] * 3
            assert [message.content for message in session.history()] == list("012345")
    finally:
        server.stop()


def test_a_lease_that_a_failover_forgot_is_lost(namespace: str) -> None:
    """Another can have the same fence then; the holder is told apart by more than the number."""
    server = Server(BINARIES["valkey-9"])
    try:
        with SessionCache.from_url(server.url, namespace=namespace, retry_for=10) as cache:
            session = cache.create("a")
            server.client.save()
            lease = session.lease(ttl=30).acquire()
            server.kill()
            server.start()
            with SessionCache.from_url(server.url, namespace=namespace) as other, other.session("a").lease() as second:
                assert second.fence == lease.fence
                with pytest.raises(LeaseLost):
                    session.append(X)
    finally:
        server.stop()


@pytest.mark.parametrize("name", list(BINARIES))
def test_a_cluster_failover_under_load(name: str, namespace: str, tmp_path: Path) -> None:
    """The master of the session's slot is killed: its replica takes over, nothing is lost or doubled."""
    with cluster(BINARIES[name], replicas=1) as found:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in found)
        url, slot = f"redis+cluster://{hosts}", key_slot(session_keys(namespace, "shared").tag.encode())
        with SessionCache.from_url(url, namespace=namespace) as cache:
            cache.create("shared", max_messages=None)
        at = min(slot // (16384 // 3), 2)
        master, replica = found[at], found[at + 3]
        with workers(write_plainly, NAMES, url, namespace, str(tmp_path), 8.0, 200.0, retry_for=20):
            time.sleep(1.5)
            master.kill()
            await_true(lambda: replica.client.execute_command("ROLE")[0] == b"master")
            elected = time.time()
        noted = events(tmp_path)
        assert back_after(noted, elected) < 2
        assert len([event for event in noted if event["what"] == "acknowledged"]) > 500
        with SessionCache.from_url(url, namespace=namespace) as cache:
            assert problems(cache.session("shared").history(), noted) == []


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("name", list(BINARIES))
def test_turns_go_on_over_a_failover(name: str, how: str, namespace: str, tmp_path: Path) -> None:
    """Leases, their line and their wake-ups move to the new master, also from one that hangs."""
    with sentinels(name, 1) as found:
        with SessionCache.from_url(found.url, namespace=namespace) as cache:
            cache.create("shared", max_messages=None)
        with workers(write_turns, ["a", "b", "c"], found.url, namespace, str(tmp_path), 60, ttl=6.0):
            time.sleep(1)
            fail_over(found, how)
        noted = events(tmp_path)
        with SessionCache.from_url(found.url, namespace=namespace) as cache:
            assert problems(cache.session("shared").history(), noted) == []
        acquired = [event["at"] for event in noted if event["what"] == "acquired"]
        assert len(acquired) == 180
        assert max(acquired) - min(acquired) < 15


def test_wrong_sentinel_urls_are_refused() -> None:
    """No service, an unknown service, no sentinel there: one clear error."""
    from redis_sessions import InvalidInput, StoreError, StoreUnavailable

    for url in (
        "redis+sentinel://h:1",
        "redis+sentinel://h:1/",
        "redis+sentinel://h:1/name/x",
        "redis+sentinel://h:p/n",
    ):
        with pytest.raises(InvalidInput):
            SessionCache.from_url(url)
    cache = SessionCache.from_url("redis+sentinel://127.0.0.1:1/name", retry_for=0.3)
    with pytest.raises(StoreUnavailable, match="no sentinel knows a master of 'name'"):
        cache.create()
    cache.close()
    with sentinels("valkey-9", 0) as found:
        with SessionCache.from_url(found.url + "s") as cache, pytest.raises(StoreError, match="no service 'sessionss'"):
            cache.create()
        import redis.sentinel

        hosts = [("127.0.0.1", sentinel.port) for sentinel in found.sentinels]
        client = redis.sentinel.Sentinel(hosts).master_for("sessions")
        with SessionCache(client) as cache:
            assert cache.create().append(X).last_seq == 1
        client.close()
