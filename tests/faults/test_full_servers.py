"""Servers that are full or read-only: what needs no memory works from a new process, and `doctor` names the state."""

from __future__ import annotations

import json

import pytest

from redis_sessions import AccessDenied, SessionCache, StoreFull
from redis_sessions._core.protocol.keys import meta_key
from tests.support.command_line import launch, run
from tests.support.server_states import break_snapshots, demote, url_of_user
from tests.support.servers import Server

X = {"role": "user", "content": "x"}


@pytest.fixture
def full(plain: Server) -> Server:
    """Return a full server with the sessions `a`, `b`, `c` and `d`."""
    with SessionCache.from_url(plain.url, namespace="acme") as cache:
        for id in ("b", "c", "d"):
            cache.create(id, user_id="mia", agent_id="clerk").append(X)
    plain.client.config_set("maxmemory", 1)
    return plain


def test_full_server_serves_reads_and_deletes_of_a_new_cache(full: Server) -> None:
    """A new cache reads, lists, exports, deletes and prunes on a full server. Only what adds data is StoreFull."""
    with SessionCache.from_url(full.url, namespace="acme") as cache:
        info = cache.get("a")
        assert info is not None
        assert [message.content for message in cache.open("b").history()] == ["x"]
        assert {one.id for one in cache.list().items} == {"a", "b", "c", "d"}
        assert {one.id for one in cache.list(user_id="mia").items} == {"b", "c", "d"}
        assert len(list(cache.session("c").export())) >= 2
        with pytest.raises(StoreFull):
            cache.session("a").append(X)
        assert cache.delete("a")
        assert cache.prune(max_sessions=1) == 2
        assert len(cache.list().items) == 1


def test_full_server_serves_watches_waits_and_pruning_with_a_cooldown(full: Server) -> None:
    """On a full server a watch and `wait_for_reply` poll, and `forget` and a prune with a cooldown remove sessions."""
    full.client.config_set("maxmemory", 0)
    with (
        SessionCache.from_url(full.url, namespace="acme") as other,
        SessionCache.from_url(full.url, namespace="acme") as cache,
    ):
        parent = other.create("parent")
        child = other.session(parent.spawn("clerk").session_key or "")
        child.complete(result="done")
        full.client.config_set("maxmemory", 1)
        watch = cache.session("b").watch(after_seq=0, timeout=30)
        assert next(watch).kind == "message"
        full.client.config_set("maxmemory", 0)
        other.session("b").append({"role": "assistant", "content": "late"})
        full.client.config_set("maxmemory", 1)
        assert next(event.message.content for event in watch if event.message) == "late"
        watch.close()
        assert cache.session("b").wait_for_reply(1).content == "late"
        assert [one.status for one in cache.session("parent").join()] == ["completed"]
        assert cache.forget("mia").sessions == 3
        assert cache.prune(max_sessions=1, cooldown="1m") == 1
    done = launch("watch", "parent", "--once", "--url", full.url, "--namespace", "acme")
    assert (done.returncode, done.stderr) == (0, "")


def test_refused_prune_raises(plain: Server) -> None:
    """A prune whose deletions the server refuses raises the refusal."""
    url = url_of_user(plain)
    with SessionCache.from_url(url, namespace="acme") as cache:
        cache.create("b")
        url_of_user(plain, "-unlink", "-del")
        with pytest.raises(AccessDenied):
            cache.prune(max_sessions=1)
        url_of_user(plain)
        assert cache.prune(max_sessions=1) == 1


def test_read_only_server_serves_a_watch(plain: Server) -> None:
    """A watch of a read-only replica yields what is stored, although the replica refuses to register the watcher."""
    demote(plain)
    with SessionCache.from_url(plain.url, namespace="acme", timeout=2, retry_for=2) as cache:
        assert next(cache.session("a").watch(after_seq=0)).kind == "message"


def test_full_server_serves_the_command_line(full: Server) -> None:
    """`ls`, `show`, `export` and `prune` work on a full server, and `doctor` says that the server is full."""
    options = ("--url", full.url, "--namespace", "acme")
    assert "clerk" in launch("ls", *options).stdout
    assert launch("show", "b", *options).returncode == 0
    assert '"session":"c"' in launch("export", "c", *options).stdout
    assert findings(full.url)["writes"] == ("fail", "refused: the memory is full (maxmemory)")
    assert launch("prune", "--max-sessions", "1", "--yes", *options).returncode == 0
    assert findings(full.url)["reads"] == ("ok", "accepted")


def findings(url: str) -> dict[str, tuple[str, str]]:
    """Return the level and the fact of each finding of `doctor`, by subject."""
    done = run("doctor", "--json", "--url", url, "--namespace", "acme")
    return {one["subject"]: (one["level"], one["fact"]) for one in json.loads(done.stdout)}


def test_read_claims_no_namespace(plain: Server) -> None:
    """A read of an empty namespace writes nothing, and a later write claims the namespace."""
    with SessionCache.from_url(plain.url, namespace="empty") as cache:
        assert cache.get("a") is None
        assert not plain.client.exists(meta_key("empty"))
        cache.create("a")
        assert plain.client.exists(meta_key("empty"))


def test_doctor_names_a_read_only_replica(plain: Server) -> None:
    """`doctor` says that a server is a read-only replica, and that reads are accepted."""
    demote(plain)
    found = findings(plain.url)
    assert found["writes"] == ("fail", "refused: the server is a read-only replica")
    assert found["reads"] == ("ok", "accepted")
    plain.client.config_set("replica-serve-stale-data", "no")
    found = findings(plain.url)
    assert found["writes"][0] == found["reads"][0] == "fail"


def test_doctor_names_a_server_that_cannot_save(plain: Server) -> None:
    """`doctor` names a server that refuses writes because its snapshot failed."""
    break_snapshots(plain)
    found = findings(plain.url)
    assert found["writes"] == ("fail", "refused: the server cannot save its data to disk (MISCONF)")
    assert found["persistence"] == ("fail", "the last snapshot could not be saved")


def test_doctor_names_missing_rights(plain: Server) -> None:
    """`doctor` names the rights that a user lacks, and goes on with the other checks."""
    found = findings(url_of_user(plain, "-info", "-set", "-evalsha", "-subscribe"))
    assert "INFO is refused" in found["server"][1]
    assert found["writes"] == ("fail", "refused: the user lacks a right")
    assert found["rights"][0] == "fail"
    assert found["waiting"][0] == "warn"
    assert found["reads"] == ("ok", "accepted")
