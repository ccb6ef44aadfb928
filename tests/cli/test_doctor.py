"""The checks of `doctor` about logins, encryption and versions, without and with a server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from redis_sessions import SessionCache
from redis_sessions.cli.doctor_checks import Finding, diagnose
from redis_sessions.cli.doctor_security import check_encryption, check_login, check_version, known_holes
from redis_sessions.engines import Engine
from tests.support.command_line import run
from tests.support.server_states import busy, url_of_user
from tests.support.servers import Server, await_true, binaries, cluster

REDIS_9 = {"redis_version": "9.0.0"}


def engine(transport: Any, **options: Any) -> Engine:
    """Return an engine with the options of a connection."""
    return Engine("redis://host", transport, options)


@pytest.mark.parametrize(
    ("info", "cves"),
    [
        ({"redis_version": "6.2.6"}, {"CVE-2022-24735", "CVE-2022-24834", "CVE-2024-31449", "CVE-2024-46981", "CVE-2025-49844"}),
        ({"redis_version": "6.2.20"}, set()),
        ({"redis_version": "7.0.0"}, {
            "CVE-2022-24834", "CVE-2023-41053", "CVE-2024-31449", "CVE-2024-46981", "CVE-2025-49844", "CVE-2025-67733",
            "CVE-2026-23631",
        }),
        ({"redis_version": "7.2.10"}, {"CVE-2025-49844", "CVE-2025-67733", "CVE-2026-23631"}),
        ({"redis_version": "7.4.9"}, set()),
        ({"redis_version": "8.2.1"}, {"CVE-2025-49844", "CVE-2025-67733", "CVE-2026-23631"}),
        ({"redis_version": "8.6.3"}, set()),
        (REDIS_9, set()),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, {
            "CVE-2024-46981", "CVE-2025-49844", "CVE-2025-67733", "CVE-2026-23631",
        }),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.8"}, set()),
        ({"redis_version": "7.2.4", "valkey_version": "9.0.2"}, {"CVE-2025-67733", "CVE-2026-23631"}),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, set()),
    ],
)  # fmt: skip
def test_holes_of_a_version_are_known(info: dict[str, str], cves: set[str]) -> None:
    """A version has the holes that its branch fixed later or never, Valkey by its own version."""
    assert {hole.partition(":")[0] for hole in known_holes(info)} == cves
    finding = check_version(info)
    assert finding.level == ("warn" if cves else "ok")
    assert all(cve in finding.fact for cve in cves)


@pytest.mark.parametrize(
    ("where", "flags", "level"),
    [
        (engine("tcp", host="h"), None, "warn"),
        (engine("unix", path="/s"), None, "warn"),
        (engine("tcp", host="h", password="p"), {"on", "nopass"}, "warn"),
        (engine("tcp", host="h", password="p"), {"off", "nopass"}, "ok"),
        (engine("tcp", host="h", password="p"), None, "ok"),
        (replace(engine("unix", path="/s"), where="embedded:///data"), None, "ok"),
    ],
)
def test_missing_password_is_warned_of(where: Engine, flags: set[str] | None, level: str) -> None:
    """A server without a password, or with a user `default` who needs none, is warned of."""
    assert check_login(where, flags).level == level


@pytest.mark.parametrize(
    ("where", "level", "fact"),
    [
        (engine("tcp", host="10.0.0.1"), "warn", "no TLS"),
        (engine("tcp", host="127.0.0.5"), "ok", "loopback"),
        (engine("tcp", host="::1"), "ok", "loopback"),
        (engine("tcp", host="localhost"), "ok", "loopback"),
        (engine("unix", path="/s"), "ok", "Unix socket"),
        (engine("tls", host="h"), "ok", "verified"),
        (engine("tls", host="h", ssl_cert_reqs="none"), "warn", "not verified"),
        (engine("tls", host="h", ssl_check_hostname=False), "warn", "name in the certificate"),
        (Engine("w", "tcp", {}, nodes=(("127.0.0.1", 1), ("10.0.0.1", 1))), "warn", "no TLS"),
        (Engine("w", "tls", {}, sentinels=(("h", 1),), sentinel_transport="tcp"), "warn", "none to the sentinels"),
        (Engine("w", "tls", {}, sentinels=(("h", 1),), sentinel_transport="tls"), "ok", "verified"),
    ],
)
def test_missing_encryption_is_warned_of(where: Engine, level: str, fact: str) -> None:
    """A network without TLS, and certificates that are not verified, are warned of; loopback and sockets are not."""
    finding = check_encryption(where)
    assert finding.level == level
    assert fact in finding.fact


@pytest.mark.parametrize(
    ("policy", "level", "advice"),
    [("noeviction", "ok", ""), ("allkeys-lru", "warn", "any key"), ("volatile-ttl", "warn", "keys with a TTL")],
)
def test_eviction_policy_is_explained(policy: str, level: str, advice: str) -> None:
    """A policy that evicts is warned of, with what it removes."""
    findings = {one.subject: one for one in diagnose(REDIS_9 | {"maxmemory_policy": policy}, 0.1, None, "5")}
    assert findings["policy"].level == level
    assert advice in findings["policy"].advice


def test_replica_is_named_with_its_master() -> None:
    """A replica is a failure that names the master and the state of the link."""
    info = REDIS_9 | {"role": "slave", "master_host": "10.0.0.7", "master_port": "6379", "master_link_status": "down"}
    finding = diagnose(info, 0.1, None, "5")[0]
    assert isinstance(finding, Finding)
    assert finding.level == "fail"
    assert "replica of 10.0.0.7:6379 (link down)" in finding.fact


def test_strict_doctor_fails_for_a_warning(own_server: Server) -> None:
    """With --strict a warning exits with 1, and a server without one exits with 0."""
    plain = ("doctor", "--json", "--url", own_server.url)
    assert run(*plain).returncode == 0
    strict = run(*plain, "--strict")
    assert strict.returncode == 1
    assert [one["subject"] for one in json.loads(strict.stdout) if one["level"] == "warn"] == ["login"]
    own_server.client.execute_command("ACL", "SETUSER", "admin", "on", ">secret", "allkeys", "allchannels", "+@all")
    own_server.client.execute_command("ACL", "SETUSER", "default", "resetpass", ">other")
    url = own_server.url.replace("://", "://admin:secret@")
    done = run("doctor", "--strict", "--url", url)
    assert done.returncode == 0, done.stdout
    assert "secret" not in done.stdout


def test_doctor_knows_a_real_replica(own_server: Server) -> None:
    """`doctor` at the URL of a replica says whose replica it is, and exits with 1."""
    replica = Server(binaries()["valkey-9"], "--replicaof", "127.0.0.1", str(own_server.port))
    try:
        await_true(lambda: replica.client.info("replication")["master_link_status"] == "up")
        done = run("doctor", "--json", "--url", replica.url)
        server = next(one for one in json.loads(done.stdout) if one["subject"] == "server")
        assert f"replica of 127.0.0.1:{own_server.port} (link up)" in server["fact"]
        assert done.returncode == 1
    finally:
        replica.stop()


def findings_of(*arguments: str) -> dict[str, dict[str, str]]:
    """Run `doctor`, which must find a failure. Return the findings by subject: of those with one subject the last failure."""
    done = run("doctor", "--json", *arguments)
    assert done.returncode == 1, (done.stdout, done.stderr)
    found = sorted(json.loads(done.stdout), key=lambda one: str(one["level"]) == "fail")
    return {one["subject"]: one for one in found}


def test_missing_right_to_write_is_found(own_server: Server) -> None:
    """A user who can read and run scripts, but cannot change sessions, is a failure that names the command."""
    url = url_of_user(own_server, "-rpush")
    rights = findings_of("--url", url, "--namespace", "acme")["rights"]
    assert (rights["level"], "rpush" in rights["fact"].lower(), "guide" in rights["advice"]) == ("fail", True, True)
    assert run("doctor", "--url", url_of_user(own_server, "+rpush"), "--namespace", "acme").returncode == 0
    with SessionCache.from_url(own_server.url, namespace="acme") as cache:
        assert cache.list().items == []


def test_wrong_password_is_no_wrong_command_line(own_server: Server) -> None:
    """A refused login is an error of the server, which the message names."""
    done = run("doctor", "--url", url_of_user(own_server).replace("secret", "wrong"))
    assert (done.returncode, done.stdout, str(own_server.port) in done.stderr) == (3, "", True)


def test_user_without_any_password_is_a_failure(own_server: Server) -> None:
    """A user who is on and has no password cannot log in."""
    own_server.client.execute_command("ACL", "SETUSER", "worker", "reset", "on", "~*", "&*", "+@all")
    user = findings_of("--acl", "worker", "--url", own_server.url)["user"]
    assert (user["level"], user["fact"]) == ("fail", "worker has no password, and so cannot log in")


def test_busy_server_is_no_missing_right(own_server: Server) -> None:
    """A server that a script keeps busy refuses INFO, too: the advice is to end the script."""
    with busy(own_server):
        found = findings_of("--url", own_server.url)
        assert found["server"] == {
            "level": "fail", "subject": "server", "fact": "a script keeps the server busy",
            "advice": "wait, or end the script with SCRIPT KILL",
        }  # fmt: skip
        assert "guide" not in found["rights"]["advice"]
        done = run("doctor", "--acl", "default", "--url", own_server.url)
        assert (done.returncode, "BUSY" in done.stderr) == (3, True)


def test_dead_master_of_a_cluster_is_named() -> None:
    """The findings name the master that does not answer, and examine the others."""
    with cluster(binaries()["valkey-9"]) as nodes:
        url = nodes[0].url.replace("redis://", "redis+cluster://")
        nodes[2].kill()
        found = findings_of("--url", url)
        assert f":{nodes[2].port} does not answer" in found["server"]["fact"]
        assert "memory" in found
        acl = run("doctor", "--acl", "default", "--url", url)
        assert (acl.returncode, acl.stdout, acl.stderr.count("error ")) == (3, "", 1)


def test_acl_line_never_resets_the_default_user(own_server: Server) -> None:
    """The line of the namespace `default` is for a user of another name, because programs log in as `default`."""
    line = json.loads(run("doctor", "--acl-line", "--namespace", "default", "--json").stdout)
    assert line[:4] == ["ACL", "SETUSER", "default-sessions", "reset"]
    assert "~default:meta" in line


def test_acl_user_that_is_not_utf_8_is_refused(own_server: Server) -> None:
    """Bytes that are not valid UTF-8 are wrong input."""
    done = run("doctor", "--acl", "\udcff", "--url", own_server.url)
    assert (done.returncode, done.stderr) == (2, "error --acl: must be UTF-8\n")
