"""The ACL line of a namespace: a user with it can do everything there, and reads, lists and hears nothing elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import AccessDenied, InvalidInput, SessionCache, SessionsError
from redis_sessions._core.protocol import keys
from redis_sessions._core.protocol.ids import check_namespace
from redis_sessions._core.protocol.scripts import all_scripts, names, script
from redis_sessions.cli.doctor_acl import (
    CLUSTER_COMMANDS,
    COMMANDS,
    acl_rules,
    is_allowed,
)
from tests.conftest import REAL_ENGINES, Engines
from tests.docs.test_code_blocks import call_every_operation
from tests.support.command_line import run
from tests.support.servers import Sentinels, Server, binaries

ENGINES = [name for name in ("redis-6.2", "path", "valkey-9") if name in REAL_ENGINES] + ["cluster"]
NEIGHBOURS = ("acme:eu", "acme:index", "acme:meta", "acme:wake", "acme:index:leases", "acm", "acme2", "acme:wake:x")
"""Namespaces whose names begin as those of keys of `acme`."""
CLIENT_COMMANDS = {"evalsha", "script|load", "script|exists", "subscribe", "ping"}
X = {"role": "user", "content": "x"}


def tenant_url(url: str, password: str = "password") -> str:
    """Return the URL of a server for the user `tenant`."""
    return url.replace("://", f"://tenant:{password}@")


@pytest.fixture
def nodes(engine: str, engines: Engines) -> Iterator[list[Server]]:
    """Return the empty servers of an engine, with a user `tenant` who has the ACL line of `acme`."""
    engines.administrator_url(engine)
    found = engines.nodes[engine]
    for node in found:
        node.client.flushall()
        node.client.script_flush()
    allow(found, acl_rules("acme", in_cluster=engine == "cluster"))
    yield found
    for node in found:
        node.client.flushall()
        node.client.execute_command("ACL", "DELUSER", "tenant")


def allow(nodes: list[Server], rules: list[str]) -> None:
    """Give the user `tenant` of servers these rules only."""
    for node in nodes:
        node.client.execute_command("ACL", "SETUSER", "tenant", "reset", "on", ">password", *rules)


on_engines = pytest.mark.parametrize("engine", ENGINES)


def test_line_lists_what_scripts_and_clients_send() -> None:
    """The commands of the line are those of the scripts and of the client: none is missing, and none is too much."""
    sent = commands_of_scripts()
    assert {"hset", "hincrby", "publish", "zincrby"} < sent
    assert sent - set(COMMANDS) == set()
    plain = {"get", "set", "hget", "hmget", "hkeys", "zrange", "zcard", "zscan", "del", "exists", "pttl", "time"}
    assert set(COMMANDS) - sent - CLIENT_COMMANDS <= plain


def commands_of_scripts() -> set[str]:
    """Return the commands that scripts call."""
    pattern = r"(?:\bcall|\bpcall|[A-Za-z_])\('([A-Z]{3,})'"
    return {word.lower() for name in names() for word in re.findall(pattern, script(name).source)}


def test_first_write_tries_each_command_of_scripts() -> None:
    """A first write tries each command that a script calls on a key. PUBLISH may be refused, and TIME precedes all writes."""
    tried = {
        word.lower()
        for word in re.findall(r"['|]([A-Z]{3,})", script("namespaces/claim").source.partition("gmatch")[0])
    }
    assert tried == commands_of_scripts() - {"publish", "time"}


@on_engines
def test_missing_right_writes_nothing(nodes: list[Server], engine: str, engines: Engines) -> None:
    """A user who lacks a right that scripts need reads, and each write raises AccessDenied that names the command."""
    url = engines.administrator_url(engine)
    rules = acl_rules("acme", in_cluster=engine == "cluster")
    with SessionCache.from_url(url, namespace="acme") as owner:
        session = owner.create("a", max_messages=4)
        session.append(X, X)
        child = session.spawn("clerk").session_key or ""
        for command in ("hset", "pexpireat", "rpush", "hdel", "unlink", "lindex", "zadd"):
            allow(nodes, [*rules, f"-{command}"])
            with SessionCache.from_url(tenant_url(url), namespace="acme") as cache:
                mine = cache.session("a")
                attempts: list[Callable[[], Any]] = [
                    partial(mine.append, X), mine.pop, mine.complete, partial(mine.compact, 1, "s"), mine.cancel, cache.create,
                    partial(mine.state.put, "k", 1), partial(cache.delete, "a"), cache.session(child).complete,
                ]  # fmt: skip
                for attempt in attempts:
                    with pytest.raises(AccessDenied, match="(?i)" + command):
                        attempt()
            assert [one.seq for one in session.history()] == [1, 2]
            assert session.info().status == owner.session(child).info().status == "active"
        allow(nodes, [*rules, "-@write"])
        with SessionCache.from_url(tenant_url(url), namespace="acme") as cache:
            assert [one.content for one in cache.open("a").history()] == ["x", "x"]
            assert cache.get("a") is not None
            assert cache.list().items
    for node in nodes:
        assert not [key for key in node.client.scan_iter() if b"probe" in key]


@on_engines
def test_user_with_line_can_do_everything(nodes: list[Server], engine: str, engines: Engines) -> None:
    """A user with the ACL line calls every operation, and the server denies nothing but the name of the client library."""
    for node in nodes:
        node.client.execute_command("ACL", "LOG", "RESET")
    url = tenant_url(engines.administrator_url(engine))
    with SessionCache.from_url(url, namespace="acme") as cache:
        call_every_operation(cache)
        cache.create("x", user_id="mia")
        lines = [*cache.session("x").export()]
        assert cache.import_sessions(lines, on_conflict="replace").replaced == 1
        assert cache.prune(max_sessions=1) > 0
        assert cache.count() >= 0
    denied = {
        str(entry["object"]) for node in nodes for entry in node.client.acl_log() if entry["username"] == "tenant"
    }
    assert {one for one in denied if not one.lower().startswith("client")} == set()


@on_engines
def test_user_with_line_reaches_no_other_namespace(nodes: list[Server], engine: str, engines: Engines) -> None:
    """A user with the line of `acme` can neither read, list, write nor hear `acme:eu`, also not by a script."""
    url = engines.administrator_url(engine)
    for namespace in NEIGHBOURS:
        with SessionCache.from_url(url, namespace=namespace) as cache:
            cache.create("a", user_id="mia", agent_id="x", tags=["t"]).append(X)
            cache.documents("notes").put("n", "secret")
            with cache.session("a").lease():
                cache.session("a").spawn("x")
            cache._context.indexer.flush()
        with SessionCache.from_url(tenant_url(url), namespace=namespace) as cache:
            attempts: list[Callable[[], Any]] = [cache.create, lambda: cache.get("a"), cache.list, cache.categories]
            for attempt in attempts:
                with pytest.raises(AccessDenied):
                    attempt()
    for node in nodes:
        client = redis.Redis(port=node.port, username="tenant", password="password", protocol=2)
        found = [key for key in node.client.scan_iter() if not key.startswith((b"acme:{", b"acme:meta"))]
        for key in found:
            for command in ("EXISTS", "GET", "HGETALL", "DEL"):
                refuse(client, command, key)
        read_any = client.script_load("return redis.call('EXISTS', KEYS[1])")
        for key in found[:20]:
            with pytest.raises(redis.RedisError, match=r"(?i)perm|can't access|No permissions"):
                client.evalsha(read_any, 1, key)
        for command in ("KEYS *", "SCAN 0", "RANDOMKEY", "MONITOR", "PUBSUB CHANNELS", "CLIENT LIST", "CONFIG GET *",
                        "FLUSHALL", "ACL LIST", "INFO", "DBSIZE", "EVAL return{} 0", "PSUBSCRIBE *"):  # fmt: skip
            refuse(client, *command.split())
        for namespace in NEIGHBOURS:
            channel = keys.wake_channel(namespace, "0" * 12)
            refuse(client, "SUBSCRIBE", channel)
            refuse(client, "PUBLISH", channel, "x")
        client.close()


def refuse(client: redis.Redis, *command: Any) -> None:
    """Check that the server refuses a command to a user."""
    with pytest.raises(redis.RedisError, match=r"(?i)no permissions|NOPERM|can't access|no permission"):
        client.execute_command(*command)


@given(
    st.text(st.sampled_from("ac:{}wakeindxmtlsod0"), min_size=1, max_size=14),
    st.sampled_from(["", "a", "index", "x:y"]),
)
def test_patterns_match_no_key_of_another_namespace(name: str, rest: str) -> None:
    """No key and no channel of a namespace matches the patterns of another one, however alike their names are."""
    other = f"{name}:{rest}".strip(":")
    for mine, foreign in ((name, other), (other, name), ("a", name), (f"{name}:index", name), (f"{name}:wake", name)):
        try:
            check_namespace(mine), check_namespace(foreign)
        except InvalidInput:
            continue
        if mine != foreign:
            matching = [
                key for key in keys_of(foreign) if any(fnmatchcase(key, one) for one in keys.key_patterns(mine))
            ]
            assert matching == []
            channel = keys.wake_channel(foreign, "0" * 12)
            assert not any(fnmatchcase(channel, one) for one in keys.channel_patterns(mine))


def keys_of(namespace: str) -> list[str]:
    """Return a key of each kind."""
    session, agent = keys.session_keys(namespace, "leases"), keys.agent_keys(namespace, "agents")
    staged, workers = keys.staged_keys(namespace, "a", "n"), keys.worker_keys(namespace)
    entries = keys.entry_keys(namespace, "all", "main", "")
    return [
        session.session, session.messages, *agent[2:], *workers[2:], *staged[2:], *entries[2:],
        keys.channel_keys(namespace, "c").channel, keys.import_keys(namespace, "a", "n").record, keys.meta_key(namespace),
        keys.document_keys(namespace, "leases").documents,
        *[keys.index_keys(namespace, name).ids for name in ("leases", "agents", "documents", "threads", "pruned")],
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["valkey-9", "cluster"])
def test_user_without_script_load_works_once_scripts_are_loaded(
    nodes: list[Server], engine: str, engines: Engines
) -> None:
    """A user who may load no script is refused, until an administrator ran `scripts load`."""
    allow(nodes, acl_rules("acme", in_cluster=engine == "cluster", may_load=False))
    url = engines.administrator_url(engine)
    with SessionCache.from_url(tenant_url(url), namespace="acme") as cache, pytest.raises(AccessDenied):
        cache.create()
    done = run("scripts", "load", "--json", "--url", url)
    assert json.loads(done.stdout) == {"loaded": len(all_scripts()), "scripts": len(all_scripts()), "nodes": len(nodes)}
    with SessionCache.from_url(tenant_url(url), namespace="acme") as cache:
        call_every_operation(cache)
    assert run("scripts", "load", "--url", url).stdout.startswith(f"loaded 0 of {len(all_scripts())} scripts on ")
    refused = run("scripts", "load", "--url", tenant_url(url).replace("tenant:password", "tenant:wrong"))
    assert (refused.returncode, "Traceback" in refused.stderr) == (3, False)
    assert "wrong" not in refused.stderr.replace("WRONGPASS", "")


@on_engines
def test_doctor_tells_what_a_user_lacks_and_has_beyond(nodes: list[Server], engine: str, engines: Engines) -> None:
    """`doctor --acl` passes the line, fails for a missing right, and warns of rights that nothing needs."""
    url, rules = engines.administrator_url(engine), acl_rules("acme", in_cluster=engine == "cluster")

    def findings(*more: str, user: str = "tenant") -> tuple[int, dict[str, tuple[str, str]]]:
        allow(nodes, [*rules, *more])
        done = run("doctor", "--acl", user, "--json", "--strict", "--url", url, "--namespace", "acme")
        return done.returncode, {one["subject"]: (one["level"], one["fact"]) for one in json.loads(done.stdout)}

    code, found = findings()
    assert (code, {level for level, _ in found.values()}) == (0, {"ok"}), found
    code, found = findings("-zincrby", "-script", "+keys", "~acme:*", "&*", "nopass")
    assert code == 1
    assert found["commands"][0] == "fail"
    assert "zincrby" in found["commands"][1]
    assert found["more commands"] == ("warn", "keys")
    assert found["keys"] == ("warn", "beyond the namespace: acme:*")
    assert found["channels"][0] == "warn"
    assert found["user"] == ("warn", "tenant needs no password")
    rules.remove("+script|load")
    assert findings()[1]["commands"] == ("warn", "script|load is missing")
    assert findings("resetkeys", "~acme:{*")[1]["keys"][0] == "fail"
    assert findings("off")[1]["user"][0] == "fail"
    assert findings(user="missing")[1] == {"user": ("fail", "no user missing")}
    code, found = findings(user="default")
    assert (code, found["more commands"][0], found["keys"][0]) == (1, "warn", "warn")
    assert run("doctor", "--acl", "tenant", "--url", tenant_url(url), "--namespace", "acme").returncode == 3


def test_printed_line_can_be_pasted(own_server: Server) -> None:
    """The line that `doctor --acl-line` prints makes a user who passes `doctor --acl`."""
    line = run("doctor", "--acl-line", "--namespace", "acme").stdout.replace(">PASSWORD", ">password")
    own_server.client.execute_command(*line.split())
    done = run("doctor", "--acl", "acme", "--strict", "--url", own_server.url, "--namespace", "acme")
    assert done.returncode == 0, done.stdout
    cluster = run("doctor", "--acl-line", "--json", "--url", "redis+cluster://a:1", "--namespace", "acme").stdout
    assert [f"+{one}" for one in CLUSTER_COMMANDS] == json.loads(cluster)[-2:]
    assert run("doctor", "--acl-line", "--namespace", "a b").returncode == 2


def test_user_with_line_works_through_sentinels() -> None:
    """With Sentinel a user needs ROLE, too, and a user of the sentinels needs three rights."""
    service = Sentinels(binaries()["valkey-9"], replicas=0)
    try:
        allow(service.nodes, [*acl_rules("acme"), "+role"])
        for sentinel in service.sentinels:
            rights = ("resetchannels", "-@all", "+sentinel|get-master-addr-by-name", "+sentinel|master")
            sentinel.client.execute_command("ACL", "SETUSER", "watcher", "on", ">hidden", *rights)
            sentinel.client.execute_command("ACL", "SETUSER", "default", "resetpass", ">other")
        url = f"{tenant_url(service.url)}?sentinel_username=watcher&sentinel_password=hidden"
        with SessionCache.from_url(url, namespace="acme") as cache:
            call_every_operation(cache)
        with SessionCache.from_url(url, namespace="acme:eu") as cache, pytest.raises(SessionsError):
            cache.create()
    finally:
        for sentinel in service.sentinels:
            sentinel.process.kill()
        service.stop()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("+@all", True),
        ("-@all", False),
        ("+@all -@write", False),
        ("-@all +get", True),
        ("-@all +@read -get", False),
        ("-get +@read", True),
        ("+@all -script", True),
    ],
)
def test_last_rule_that_names_a_command_counts(rules: str, expected: bool) -> None:
    """The last rule that names a command, its parent or its category decides whether the command is allowed."""
    categories = {"read": {"get", "hget"}, "write": {"set", "get"}}
    assert is_allowed("get", rules.split(), categories) is expected
    assert is_allowed("script|load", ["+@all", "-script"], categories) is False
    assert is_allowed("script|load", ["-@all", "+script"], categories) is True
    assert is_allowed("script|load", ["+script", "-script|load"], categories) is False
