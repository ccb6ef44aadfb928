"""`doctor --reindex`: the indexes are rebuilt from the sessions alone."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import redis

from redis_sessions import SessionCache
from redis_sessions.cli.reindex import reindex
from tests.conftest import Engines, fake_client
from tests.support.command_line import run
from tests.support.servers import Server, await_true
from tests.support.sockets import closed_port


def clients(cache: SessionCache, engine: str, engines: Engines) -> list[redis.Redis]:
    """Return a client for each node of the engine."""
    return [node.client for node in engines.nodes[engine]] or [fake_client(cache)]


def test_reindex_restores_deleted_indexes(
    cache: SessionCache, engine: str, engines: Engines, namespace: str, url: str
) -> None:
    """All lists and counts are right after a reindex, and keys that are not of a session are skipped."""
    for number in range(450):
        session = cache.create(f"s{number}", user_id=f"user{number % 3}", tags=["odd"] if number % 2 else None)
        if number % 9 == 0:
            session.complete()
    cache.create("root").spawn("worker").raise_if_refused()
    cache._context.indexer.flush()
    cache._context.indexer._behind.clear()
    raw = clients(cache, engine, engines)
    for client in raw:
        found = [key for key in client.scan_iter(count=1000) if b":session:" not in key and not key.endswith(b":meta")]
        for key in found:
            client.delete(key)
    assert cache.list().items == []
    foreign = f"{namespace}:{{00000000}}:session:foreign"  # its id has another tag
    for client in raw:
        with suppress(redis.exceptions.MovedError):
            client.set(foreign, "x")
    seen: list[int] = []
    if engine == "fake":
        assert reindex(cache, seen.append) == 452
        assert seen == [200, 400, 452]
    else:
        done = run("doctor", "--reindex", "--json", "--url", url, "--namespace", namespace)
        assert (done.returncode, json.loads(done.stdout)) == (0, {"checked": 452}), done.stderr
    for client in raw:
        with suppress(redis.exceptions.MovedError):
            client.delete(foreign)
    assert len(list(cache.iter_sessions())) == cache.count() == 452
    assert {one.id for one in cache.iter_sessions(user="user1")} == {f"s{n}" for n in range(1, 450, 3)}
    assert cache.count(tags=["odd"]) == 225
    assert cache.count(active_only=True) == 402
    assert [one.agent_id for one in cache.iter_sessions(kinds=["subagent"])] == ["worker"]


def test_reindex_lists_no_deleted_session(own_server: Server) -> None:
    """A reindex lists the sessions and categories that exist, right after others were deleted."""
    with SessionCache.from_url(own_server.url) as cache:
        for number in range(100):
            cache.create(f"s{number}")
        for number in range(50):
            cache.delete(f"s{number}")
        cache.documents("notes/a").put("n", "text")
        own_server.client.delete("sessions:index:documents")
        own_server.client.set(b"sessions:documents:\xff", "a key of another program")
        assert run("doctor", "--reindex", "--url", own_server.url).stdout == "checked 50 sessions\n"
        assert cache.categories().items == ["notes/a"]
        await_true(lambda: cache.count() == 50)


@pytest.mark.parametrize("rights", ["+@all -scan", "+@all"])
def test_reindex_without_rights_or_server_exits_with_3(own_server: Server, rights: str) -> None:
    """Standard error names the missing right, or says that the server did not serve, and why it waited for it."""
    own_server.client.execute_command("ACL", "SETUSER", "few", "on", ">pass", "~*", "&*", *rights.split())
    with closed_port() as closed:
        port = own_server.port if "scan" in rights else closed
        done = run("doctor", "--reindex", "--url", f"redis://few:pass@127.0.0.1:{port}")
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (3, "", False)
    assert ("needs the right to SCAN" if "scan" in rights else "did not serve") in done.stderr
    lines = done.stderr.splitlines()
    assert [line.startswith("waiting for ") for line in lines] == ([False] if "scan" in rights else [True, False])
    assert "scan" in rights or lines[0].endswith(", at most 10 s: connection refused, no server listens there")
