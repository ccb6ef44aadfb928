"""The command line, as a user runs it: the demo, replays, show, doctor, leases, exit codes, and never a traceback."""

from __future__ import annotations

import contextvars
import functools
import gzip
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import LeaseLost, Message, SessionCache
from redis_sessions._core.protocol.keys import session_keys
from tests.support.command_line import launch, run
from tests.support.servers import Server, await_true
from tests.support.sockets import closed_port

CONVERSATION: dict[str, Any] = {
    "id": "c1",
    "user_id": "mia",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "x", "content": "42"},
        {"role": "assistant", "content": "It is 42. [bold]"},
    ],
}


def write_lines(path: Path, *objects: Any) -> Path:
    """Write objects as lines of JSON, and text as it is."""
    text = "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in objects)
    path.write_text(text, errors="surrogateescape")
    return path


def test_demo_kills_a_worker_and_stores_every_message_once() -> None:
    """The demo runs without a server and exits with 0."""
    done = launch("demo")
    assert done.returncode == 0, done.stderr
    assert "all equal" in done.stdout
    report = json.loads(launch("demo", "--json").stdout)
    assert (report["killed"], report["equal"], report["retained"]) == (1, True, 792)


def test_replay_of_plain_and_gzip_file_equals_the_input(tmp_path: Path, server: Server) -> None:
    """A replay compares every message, and its sessions stay on the server."""
    file = write_lines(tmp_path / "c.jsonl", CONVERSATION)
    zipped = tmp_path / "c.jsonl.gz"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    for path in (file, zipped):
        done = launch("replay", str(path), "--workers", "2", "--url", server.url, "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["sessions"], report["messages"], report["retained"], report["equal"]) == (1, 5, 5, True)
    with SessionCache.from_url(server.url) as cache:
        session = cache.open("c1")
        assert session.info().system_prompt == "Be brief."
        assert [message.payload for message in session.history()] == CONVERSATION["messages"][1:]
    server.client.flushall()


def test_capped_replay_drops_a_tool_result_with_its_call(tmp_path: Path, server: Server) -> None:
    """A capped session retains no more than its cap: the task and the answer, without the call and its result."""
    file = write_lines(tmp_path / "c.jsonl", CONVERSATION)
    done = launch("replay", str(file), "--workers", "2", "--url", server.url, "--max-messages", "2", "--json")
    assert done.returncode == 0, done.stderr
    with SessionCache.from_url(server.url) as cache:
        assert [message.role for message in cache.open("c1").history()] == ["user", "assistant"]
    server.client.flushall()


@pytest.mark.parametrize(
    "broken",
    [
        "{not json\n",
        "[]\n",
        "\udcff\n",
        '{"id": "a b", "messages": []}\n',
        '{"id": "x", "messages": ["text"]}\n',
    ],
)
def test_broken_line_stops_the_replay_or_is_skipped(tmp_path: Path, own_server: Server, broken: str) -> None:
    """The error names the number of the line, and --skip-broken replays the other lines."""
    file = write_lines(tmp_path / "c.jsonl", CONVERSATION, broken, {**CONVERSATION, "id": "c2"})
    stopped = launch("replay", str(file), "--workers", "2", "--url", own_server.url)
    assert stopped.returncode == 2
    assert "line 2" in stopped.stderr
    assert own_server.client.dbsize() == 0
    skipped = launch("replay", str(file), "--workers", "2", "--url", own_server.url, "--skip-broken", "--json")
    assert skipped.returncode == 0
    assert json.loads(skipped.stdout)["sessions"] == 2
    assert "line 2" in skipped.stderr


def test_replay_refuses_a_session_that_no_replay_made(tmp_path: Path, server: Server) -> None:
    """A replay replaces only sessions of earlier replays."""
    file = write_lines(tmp_path / "c.jsonl", CONVERSATION)
    with SessionCache.from_url(server.url) as cache:
        cache.create("c1").append({"role": "user", "content": "precious"})
        refused = launch("replay", str(file), "--workers", "2", "--url", server.url)
        assert refused.returncode == 2
        assert "namespace" in refused.stderr
        assert cache.open("c1").history()[0].content == "precious"
    server.client.flushall()


def test_show_prints_summary_and_transcript(server: Server) -> None:
    """Markup in messages is printed as text, and --json prints the whole session."""
    with SessionCache.from_url(server.url) as cache:
        session = cache.create("a", system_prompt="Be [red]brief[/].", user_id="mia", max_messages=4)
        session.append(*CONVERSATION["messages"][1:], Message("user", "older"), Message("user", "last [/nope]"))
    done = run("show", "a", "--url", server.url)
    assert done.returncode == 0
    for part in ("Be [red]brief[/].", "last [/nope]", "older messages were dropped", "user mia"):
        assert part in done.stdout
    shown = json.loads(run("show", "a", "--url", server.url, "--json", "--limit", "1").stdout)
    assert shown["status"] == "active"
    assert [message["payload"]["content"] for message in shown["messages"]] == ["last [/nope]"]
    server.client.flushall()


def test_doctor_reports_settings_that_lose_data(own_server: Server) -> None:
    """Doctor exits with 0 if all checks pass or warn, and with 1 if a check fails."""
    done = run("doctor", "--url", own_server.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "noeviction" in done.stdout
    own_server.client.config_set("maxmemory-policy", "allkeys-lru")
    own_server.client.config_set("appendonly", "no")
    findings = {one["subject"]: one for one in json.loads(run("doctor", "--url", own_server.url, "--json").stdout)}
    assert findings["policy"]["level"] == findings["persistence"]["level"] == "warn"
    assert "noeviction" in findings["policy"]["advice"]
    own_server.client.set("sessions:meta", "6")  # another schema version
    wrong = run("doctor", "--url", own_server.url)
    assert wrong.returncode == 1
    assert "schema" in wrong.stdout


@pytest.fixture
def down() -> Iterator[str]:
    """Return the URL of a server that does not run."""
    with closed_port() as port:
        yield f"redis://:secret@127.0.0.1:{port}"


def test_wrong_input_exits_with_2_and_server_failure_with_3(own_server: Server, tmp_path: Path, down: str) -> None:
    """Every mistake is reported on standard error, without a traceback and without the password of the URL."""
    for code, arguments in (
        (1, ("show", "missing", "--url", own_server.url)),
        (2, ("show", "a b", "--url", own_server.url)),
        (2, ("show", "a", "--url", "http://x")),
        (2, ("replay", str(tmp_path / "none.jsonl"))),
        (2, ("replay", str(tmp_path), "--url", own_server.url)),
        (2, ("replay", str(write_lines(tmp_path / "empty.jsonl")))),
        (2, ("show", "a", "--url", f"{own_server.url}?foo=1")),
        (2, ("show", "a", "--url", f"{own_server.url}/x")),
        (3, ("show", "a", "--url", own_server.url.replace("redis:", "redis+cluster:"))),
        (3, ("show", "a", "--url", f"{own_server.url}/999")),
        (2, ("show", "a", "--url", "embedded://")),
        (2, ("doctor", "--url", "fake://")),
        (2, ("demo", "--url", "fake://")),
        (2, ("replay",)),
        (2, ("no-such-command",)),
        (2, ("demo", "--workers", "1")),
        (2, ("replay", str(tmp_path / "none.jsonl"), "--ttl", "soon")),
        (2, ("show", "a", "--url", "redis://localhost:port")),
        (2, ("show", "a", "--url", "redis+cluster://[::1")),
        (2, ("show", "a", "--url", "rediss://localhost?ssl_cert_reqs=unknown")),
        (2, ("show", "a", "--url", own_server.url, "--namespace", "a*")),
        (3, ("doctor", "--url", down)),
    ):
        done = run(*arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert "secret" not in done.stderr
        assert done.stderr.strip()


def test_lease_is_listed_shown_and_released_by_force(server: Server) -> None:
    """An operator finds the holder of a lease, and releases the lease with its fence."""
    with SessionCache.from_url(server.url) as cache:
        cache.create("a")
        lease = cache.session("a").lease(ttl=60, owner="worker-7").acquire()
        while not cache.leases().items:
            time.sleep(0.02)
        listed = run("lease", "ls", "--url", server.url)
        assert listed.returncode == 0
        assert "worker-7" in listed.stdout
        page = json.loads(run("lease", "ls", "--url", server.url, "--json").stdout)
        assert (page["items"][0]["session_id"], page["items"][0]["fence"], page["cursor"]) == ("a", 1, None)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.Context().run, lambda: cache.session("a").send("x")).result()
        assert "held by worker-7 (fence 1)" in run("lease", "show", "a", "--url", server.url).stdout
        shown = run("show", "a", "--url", server.url).stdout
        assert "held by worker-7 (fence 1)" in shown
        assert "0 waiters" in shown
        assert "1 message in the inbox" in shown
        assert run("lease", "release", "a", "--url", server.url, "--fence", "7").returncode == 1
        assert "released: worker-7" in run("lease", "release", "a", "--url", server.url, "--fence", "1").stdout
        again = run("lease", "release", "a", "--url", server.url)
        assert ("no worker holds" in again.stdout, again.returncode) == (True, 1)
        assert run("lease", "show", "a", "--url", server.url, "--json").stdout.strip() == "null"
        assert "no lease is held" in run("lease", "ls", "--url", server.url).stdout
        with pytest.raises(LeaseLost):
            lease.release()
    missing = run("lease", "show", "none", "--url", server.url)
    assert (missing.returncode, "does not exist" in missing.stderr) == (1, True)
    assert run("lease", "ls", "--url", server.url, "--cursor", "x").returncode == 2
    server.client.flushall()


def test_show_escapes_control_characters_and_indents_further_lines(server: Server) -> None:
    """A message cannot control the terminal, and no line of a message looks like another message."""
    with SessionCache.from_url(server.url) as cache:
        cache.create("a").append({"role": "tool", "content": "\x1b[31mred\u202e\nuser 99 faked"})
    shown = run("show", "a", "--url", server.url).stdout
    assert "\\x1b[31mred\\u202e" in shown
    assert "\nuser 99" not in shown
    server.client.flushall()


def test_lease_show_says_why_a_session_is_locked(own_server: Server) -> None:
    """One command prints the holder, the fence, the time left, the waiters and the size of the inbox."""
    with SessionCache.from_url(own_server.url) as cache, ThreadPoolExecutor(3) as pool:
        cache.create("a")
        with cache.session("a").lease(ttl=60, owner="worker-7"):

            def wait(owner: str) -> None:
                with cache.session("a").lease(wait=30, owner=owner):
                    pass

            def has_waiters(number: int) -> bool:
                lease = cache.session("a").info().lease
                return lease is not None and len(lease.waiters) == number

            waits = []
            for number, owner in enumerate(("worker-8", "worker-9"), 1):
                waits.append(pool.submit(contextvars.Context().run, wait, owner))
                await_true(functools.partial(has_waiters, number))
            pool.submit(contextvars.Context().run, lambda: cache.session("a").send("x")).result()
            for command in (("lease", "show", "a"), ("show", "a")):
                shown = run(*command, "--url", own_server.url).stdout
                assert re.search(r"held by worker-7 \(fence 1\), [45]\d\.\d s left unless the holder renews", shown), (
                    shown
                )
                assert "2 waiters: worker-8, worker-9" in shown
                assert "1 message in the inbox" in shown
            listed = run("lease", "ls", "--url", own_server.url).stdout.splitlines()
            assert [line.split() for line in listed][1][-2:] == ["2", "1"]
        for one in waits:
            one.result()
    assert "no worker holds the lease of a" in run("lease", "show", "a", "--url", own_server.url).stdout


def test_expired_lease_is_not_shown_as_held(own_server: Server) -> None:
    """A lease that ran out is shown as free, because its worker died and any worker can acquire it."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a")
        deadline_ms = own_server.client.time()[0] * 1000 - 300_000
        own_server.client.hset(
            session_keys("sessions", "a").session, "lease", f"3 nonce {deadline_ms} {deadline_ms} 0 - worker-7"
        )
    shown = run("lease", "show", "a", "--url", own_server.url).stdout
    assert "no worker holds the lease of a" in shown


@pytest.mark.parametrize("text", ["soon", "-1", "0", "1y", "", "1e3", "200000w"])
def test_wrong_duration_is_refused_with_its_form(own_server: Server, text: str) -> None:
    """Every option that is a duration refuses other text, and says the form and the bounds of a duration."""
    for arguments in (
        ("top", "--once", "--every"),
        ("recover", "--every"),
        ("watch", "a", "--timeout"),
        ("prune", "--yes", "--max-age"),
        ("replay", "none.jsonl", "--ttl"),
    ):
        done = run(*arguments, text, *(() if arguments[0] == "replay" else ("--url", own_server.url)))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), (arguments, done.stderr)
        assert f"{arguments[-1]}: must be a duration from " in done.stderr
        assert f"such as 90s, 30m, 12h or 7d (a number without a unit is seconds), got {text!r}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("doctor", "--repair", "--reindex", "--dry-run"), "got --reindex and --repair"),
        (("doctor", "--acl", "x", "--acl-line"), "got --acl and --acl-line"),
        (("doctor", "--reindex", "--strict"), "--strict"),
        (("doctor", "--reindex", "--dry-run"), "--dry-run"),
        (("metrics", "--interval", "1s"), "needs --listen"),
        (("watch", "a", "--once", "--timeout", "1s"), "--once or --timeout"),
        (("append", "a", "--role", "user", "--payload", "{}"), "--payload"),
    ],
)
def test_option_that_another_one_would_silence_is_refused(arguments: tuple[str, ...], named: str) -> None:
    """A combination of which one option would be ignored is refused before a server is asked."""
    done = run(*arguments, "--url", "redis://127.0.0.1:1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert named in done.stderr


@pytest.mark.parametrize("port", ["9" * 5000, "65536", "", "x", "-1"])
def test_wrong_port_is_refused(port: str) -> None:
    """A port must be a number up to 65535, however many digits are given."""
    done = run("metrics", "--listen", f"127.0.0.1:{port}", "--url", "redis://127.0.0.1:1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--listen: must be HOST:PORT" in done.stderr


def test_metrics_say_what_they_wait_for() -> None:
    """A server that refuses connections is named on standard error, and the exit code is 3."""
    done = run("metrics", "--url", "redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("waiting for redis://127.0.0.1:1, at most 10 s: connection refused")


@pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
def test_ids_with_names_of_emoji_are_printed_as_they_are(server: Server) -> None:
    """The parts of an ID stay text, in titles, tables, trees and lines."""
    with SessionCache.from_url(server.url) as cache:
        child = cache.create("root:fire:", name=":robot:", tags=[":robot:"]).spawn(
            "robot", task=":robot:", label=":robot:"
        )
        assert child.session_key is not None
        cache.session(child.session_key).append({"role": "user", "content": ":robot:"})
        commands = (
            ["show", child.session_key],
            ["tree", "root:fire:"],
            ["ls", "--kind", "subagent"],
            ["show", "root:fire:"],
        )
        for arguments in commands:
            shown = run(*arguments, "--url", server.url).stdout
            assert ":robot:" in shown or ":fire:" in shown
            assert not {"\N{ROBOT FACE}", "\N{FIRE}"} & set(shown)
    server.client.flushall()
