"""Masters that die or hang: no acknowledged message is lost or duplicated, and the service is back soon."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis.sentinel
from redis.crc import key_slot

from redis_sessions import (
    InvalidInput,
    LeaseLost,
    NotReplicated,
    SessionCache,
    SessionRegressed,
    StoreError,
    StoreUnavailable,
)
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._sync.transport import sentinel
from tests.support.history import await_begin, find_violations, read_journals, workers, write_at_rate, write_turns
from tests.support.machine_load import measured_load
from tests.support.servers import Sentinels, Server, await_true, binaries, cluster

SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))
BINARIES = {name: path for name, path in binaries().items() if name in ("valkey-9", "path")}
X = {"role": "user", "content": "x"}
NAMES = ["a", "b"]


@contextmanager
def sentinels(name: str, replicas: int = 2) -> Iterator[Sentinels]:
    """Start a master, its replicas and three sentinels."""
    service = Sentinels(BINARIES[name], replicas)
    try:
        yield service
    finally:
        service.stop()


def fail_over(service: Sentinels, how: str) -> tuple[Server, float]:
    """Kill or pause the master. Return the former master, and the time at which another master was elected."""
    before = service.master()
    if how == "kill":
        before.kill()
    else:
        before.pause()
    others = [node for node in service.nodes if node is not before and node.process.poll() is None]
    await_true(lambda: any(node.client.execute_command("ROLE")[0] == b"master" for node in others))
    return before, time.time()


def is_synchronised(replica: Server) -> bool:
    """Return whether a replica has all data of its master. An election of another replica would lose data."""
    return bool(replica.client.info("replication").get("master_link_status") == "up")


def seconds_until_back(events: list[dict[str, Any]], elected: float) -> float:
    """Return the seconds from the election to the first acknowledgement after the election."""
    acknowledged = [float(event["at"]) for event in events if event["what"] == "acknowledged"]
    return min(at for at in acknowledged if at > elected) - elected


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("name", list(BINARIES))
def test_sentinel_failover_under_load_loses_nothing(name: str, how: str, namespace: str, tmp_path: Path) -> None:
    """At 400 appends a second, a failover loses and duplicates no message, and appends succeed 2 s after the election."""
    options: dict[str, Any] = {"acks": 1, "retry_for": 20, "min_count": 260}
    with sentinels(name) as service, measured_load() as load:
        with SessionCache.from_url(service.url, namespace=namespace) as cache:
            cache.create("shared", max_messages=None)
        with workers(write_at_rate, NAMES, service.url, namespace, str(tmp_path), 6.5, 200.0, **options):
            await_begin(tmp_path, len(NAMES))
            time.sleep(1)
            _, elected = fail_over(service, how)
        events = read_journals(tmp_path)
        assert len([event for event in events if event["what"] == "acknowledged"]) > 500
        assert seconds_until_back(events, elected) < load.allow(2, wakeups=4)
        with SessionCache.from_url(service.url, namespace=namespace) as cache:
            assert find_violations(cache.session("shared").history(), events) == []


def test_stopped_master_without_sentinel_checks_delays_a_call(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation shows that a call to a stopped master waits for its own timeout when the sentinels are not asked."""
    name = "valkey-9"
    monkeypatch.setattr(sentinel, "CHECK_SECONDS", 1e6)
    with sentinels(name, 1) as service, SessionCache.from_url(service.url, namespace=namespace, timeout=6) as cache:
        session = cache.create("a")
        session.append(X)
        _, elected = fail_over(service, "stop")
        session.append(X)
        assert time.time() - elected > 2


@pytest.mark.skipif(not SOAK, reason="ten failovers take minutes: make long")
@pytest.mark.parametrize("name", list(BINARIES))
def test_ten_failovers_with_acks_lose_nothing(name: str, namespace: str, tmp_path: Path) -> None:
    """With `acks=1`, ten killed masters that return as replicas lose no acknowledged append."""
    with sentinels(name, 1) as service:
        with SessionCache.from_url(service.url, namespace=namespace) as cache:
            cache.create("shared", max_messages=None)
        options: dict[str, Any] = {"acks": 1, "retry_for": 30}
        with workers(write_at_rate, NAMES, service.url, namespace, str(tmp_path), 110.0, 200.0, **options):
            for _ in range(10):
                time.sleep(1.5)
                before, _ = fail_over(service, "kill")
                after = service.await_another(before)
                before.options = ("--replicaof", "127.0.0.1", str(after.port), "--repl-diskless-sync-delay", "0")
                before.start()
                for replica in service.nodes:
                    if replica is not after:
                        await_true(partial(is_synchronised, replica))
        with SessionCache.from_url(service.url, namespace=namespace) as cache:
            assert find_violations(cache.session("shared").history(), read_journals(tmp_path)) == []


@contextmanager
def pair(name: str) -> Iterator[tuple[Server, Server]]:
    """Start a master and its replica."""
    master = Server(BINARIES[name], "--repl-diskless-sync-delay", "0")
    replica = Server(BINARIES[name], "--replicaof", "127.0.0.1", str(master.port))
    try:
        await_true(lambda: replica.client.info("replication")["master_link_status"] == "up")
        await_true(lambda: master.client.execute_command("WAIT", 1, 100) == 1)
        yield master, replica
    finally:
        replica.resume()
        replica.stop()
        master.stop()


@pytest.mark.parametrize("name", list(BINARIES))
def test_write_without_replica_raises_not_replicated(name: str, namespace: str) -> None:
    """A write that too few replicas acknowledged raises NotReplicated with the batch ID, and could be lost in a failover."""
    with (
        pair(name) as (master, replica),
        SessionCache.from_url(master.url, namespace=namespace, acks=1, timeout=1) as cache,
        SessionCache.from_url(master.url, namespace=namespace) as without_acks,
    ):
        session = cache.create("a")
        assert session.append(X).last_seq == 1
        replica.client.execute_command("REPLICAOF", "NO", "ONE")
        with pytest.raises(NotReplicated, match="0 of 1 replicas") as refused:
            session.append(X)
        assert (refused.value.acked, refused.value.wanted) == (0, 1)
        with pytest.raises(NotReplicated):
            session.append(X, batch_id=refused.value.batch_id)
        with pytest.raises(NotReplicated, match="replicas are connected"):
            session.state.put("a", 1)
        with pytest.raises(NotReplicated):
            cache.documents("c").put_many({"a": 1, "b": 2})
        assert without_acks.session("a").append(X).last_seq == 3
        with pytest.raises(NotReplicated):
            session.lease(60).acquire()
        await_true(lambda: without_acks.session("a").lease().info() is None)
        master.kill()
        with SessionCache.from_url(replica.url, namespace=namespace) as after:
            assert after.session("a").info().last_seq == 1


def test_repeated_append_waits_for_the_first_write(namespace: str) -> None:
    """A repeated append on a new connection is acknowledged only after a replica has the first append."""
    with pair("valkey-9") as (master, replica):
        url = master.url
        with SessionCache.from_url(url, namespace=namespace) as cache:
            cache.create("a").append(X, batch_id="b")
        with SessionCache.from_url(url, namespace=namespace, acks=1, timeout=1) as cache:
            assert cache.session("a").append(X, batch_id="b").duplicate
        replica.pause()
        with SessionCache.from_url(url, namespace=namespace, acks=1, timeout=1) as cache, pytest.raises(NotReplicated):
            cache.session("a").append(X, batch_id="b")


def test_server_that_lost_messages_raises_session_regressed(namespace: str) -> None:
    """A handle raises SessionRegressed with both seqs, and a new handle repeats the lost appends only."""
    server = Server(BINARIES["valkey-9"])
    try:
        with SessionCache.from_url(server.url, namespace=namespace, retry_for=10) as cache:
            session = cache.create("a")
            batches = {f"b{number}": {"role": "user", "content": str(number)} for number in range(6)}
            for number, (batch_id, message) in enumerate(batches.items()):
                session.append(message, batch_id=batch_id)
                if number == 2:
                    server.client.save()
            server.kill()
            server.start()
            with pytest.raises(SessionRegressed) as regressed:
                session.append(X)
            assert (regressed.value.known, regressed.value.seen) == (3, 6)
            for read in (session.history, session.info):
                with pytest.raises(SessionRegressed):
                    read()
            session = cache.open("a")
            results = [session.append(message, batch_id=batch_id) for batch_id, message in batches.items()]
            assert [result.duplicate for result in results] == [True] * 3 + [False] * 3
            assert [message.content for message in session.history()] == list("012345")
    finally:
        server.stop()


def test_wait_for_the_reply_to_a_lost_message_raises_session_regressed(namespace: str) -> None:
    """A caller that waits for the reply to a message learns at once that the server lost the message."""
    server = Server(BINARIES["valkey-9"])
    try:
        with SessionCache.from_url(server.url, namespace=namespace, retry_for=10) as cache:
            session = cache.create("a")
            server.client.save()
            sent = session.send(X)
            server.kill()
            server.start()
            with pytest.raises(SessionRegressed) as regressed:
                cache.session("a").wait_for_reply(sent, timeout=60)
            assert (regressed.value.known, regressed.value.seen) == (0, 1)
    finally:
        server.stop()


def test_lease_that_a_failover_lost_is_refused(namespace: str) -> None:
    """A holder is refused after a failover lost its grant, even if the next holder got the same fence."""
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
def test_cluster_failover_under_load_loses_nothing(name: str, namespace: str, tmp_path: Path) -> None:
    """When the master of a session's slot is killed, its replica takes over and no message is lost or duplicated."""
    with cluster(BINARIES[name], replicas=1) as nodes, measured_load() as load:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        url, slot = f"redis+cluster://{hosts}", key_slot(session_keys(namespace, "shared").tag.encode())
        with SessionCache.from_url(url, namespace=namespace) as cache:
            cache.create("shared", max_messages=None)
        index = min(slot // (16384 // 3), 2)
        master, replica = nodes[index], nodes[index + 3]
        with workers(write_at_rate, NAMES, url, namespace, str(tmp_path), 8.0, 200.0, retry_for=20, min_count=260):
            await_begin(tmp_path, len(NAMES))
            time.sleep(1)
            master.kill()
            await_true(lambda: replica.client.execute_command("ROLE")[0] == b"master")
            elected = time.time()
        events = read_journals(tmp_path)
        assert seconds_until_back(events, elected) < load.allow(2, wakeups=4)
        assert len([event for event in events if event["what"] == "acknowledged"]) > 500
        with SessionCache.from_url(url, namespace=namespace) as cache:
            assert find_violations(cache.session("shared").history(), events) == []


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("name", list(BINARIES))
def test_turns_under_leases_continue_over_a_failover(name: str, how: str, namespace: str, tmp_path: Path) -> None:
    """Leases, waiters and notifications continue with the new master after the old master died or hangs."""
    with sentinels(name, 1) as service, measured_load() as load:
        with SessionCache.from_url(service.url, namespace=namespace) as cache:
            cache.create("shared", max_messages=None)
        with workers(write_turns, ["a", "b", "c"], service.url, namespace, str(tmp_path), 60, ttl=6.0):
            await_begin(tmp_path, 3)
            time.sleep(1)
            fail_over(service, how)
        events = read_journals(tmp_path)
        with SessionCache.from_url(service.url, namespace=namespace) as cache:
            assert find_violations(cache.session("shared").history(), events) == []
        acquired = [event["at"] for event in events if event["what"] == "acquired"]
        assert len(acquired) == 180
        assert max(acquired) - min(acquired) < load.allow(15, wakeups=60)


def test_wrong_sentinel_url_raises_one_clear_error() -> None:
    """A URL without a service, with an unknown service or without a sentinel raises one clear error."""
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
    with sentinels("valkey-9", 0) as service:
        with (
            SessionCache.from_url(f"redis+sentinel://127.0.0.1:{service.nodes[0].port}/name") as cache,
            pytest.raises(StoreError, match="must name sentinels"),
        ):
            cache.create()
        with (
            SessionCache.from_url(f"redis+cluster://127.0.0.1:{service.sentinels[0].port}") as cache,
            pytest.raises(StoreError, match="For a single server use redis://"),
        ):
            cache.create()
        with (
            SessionCache.from_url(service.url + "s") as cache,
            pytest.raises(StoreError, match="no service 'sessionss'"),
        ):
            cache.create()
        hosts = [("127.0.0.1", sentinel.port) for sentinel in service.sentinels]
        service.sentinels[0].client.execute_command("SENTINEL", "REMOVE", Sentinels.service)
        with SessionCache.from_url(service.url) as cache:
            assert cache.create().append(X).last_seq == 1  # the other two know the master
        client = redis.sentinel.Sentinel(hosts[1:]).master_for("sessions")
        with SessionCache(client) as cache:
            assert cache.create().append(X).last_seq == 1
        client.close()
