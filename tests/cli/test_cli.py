"""The command line, as a user runs it: what is printed, exit codes, never a traceback."""

from __future__ import annotations

import contextvars
import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import LeaseLost, Message, SessionCache
from tests.cli.running import launch, run
from tests.servers import Server, free_port

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


def lines(path: Path, *objects: Any) -> Path:
    text = "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in objects)
    path.write_text(text, errors="surrogateescape")
    return path


def test_the_demo_kills_a_worker_and_loses_nothing() -> None:
    """Exit 0, by itself, on the embedded server."""
    done = launch("demo")
    assert done.returncode == 0, done.stderr
    assert "all equal" in done.stdout
    report = json.loads(launch("demo", "--json").stdout)
    assert (report["killed"], report["equal"], report["retained"]) == (1, True, 792)


def test_a_replay_compares_everything(tmp_path: Path, server: Server) -> None:
    """Plain and gzip; the sessions stay in the named server."""
    file = lines(tmp_path / "c.jsonl", CONVERSATION)
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


def test_a_capped_replay_begins_with_no_orphan(tmp_path: Path, server: Server) -> None:
    """And no session exceeds its cap."""
    file = lines(tmp_path / "c.jsonl", CONVERSATION)
    done = launch("replay", str(file), "--url", server.url, "--max-messages", "2", "--json")
    assert done.returncode == 0, done.stderr
    with SessionCache.from_url(server.url) as cache:
        assert [message.role for message in cache.open("c1").history()] == ["assistant"]
    server.client.flushall()


@pytest.mark.parametrize(
    "broken",
    [
        "{not json\n",
        "[]\n",
        "\udcff\n",
        '{"id": "a b", "messages": []}\n',
        '{"id": "x", "messages": [{"role": "king"}]}\n',
    ],
)
def test_a_broken_line_is_named_and_stops_or_is_skipped(tmp_path: Path, own_server: Server, broken: str) -> None:
    """By its number; by flag the rest goes on."""
    file = lines(tmp_path / "c.jsonl", CONVERSATION, broken, {**CONVERSATION, "id": "c2"})
    stopped = launch("replay", str(file), "--url", own_server.url)
    assert stopped.returncode == 2
    assert "line 2" in stopped.stderr
    assert own_server.client.dbsize() == 0
    skipped = launch("replay", str(file), "--url", own_server.url, "--skip-broken", "--json")
    assert skipped.returncode == 0
    assert json.loads(skipped.stdout)["sessions"] == 2
    assert "line 2" in skipped.stderr


def test_a_replay_leaves_sessions_of_others_alone(tmp_path: Path, server: Server) -> None:
    """Only what an earlier replay made is replaced."""
    file = lines(tmp_path / "c.jsonl", CONVERSATION)
    with SessionCache.from_url(server.url) as cache:
        cache.create("c1").append({"role": "user", "content": "precious"})
        refused = launch("replay", str(file), "--url", server.url)
        assert refused.returncode == 2
        assert "namespace" in refused.stderr
        assert cache.open("c1").history()[0].content == "precious"
    server.client.flushall()


def test_show_prints_a_readable_transcript(server: Server) -> None:
    """Markup in messages is text; --json is for programs."""
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


def test_doctor_warns_with_what_to_do(own_server: Server) -> None:
    """Exit 0 when fit, 1 when something is wrong."""
    done = run("doctor", "--url", own_server.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "noeviction" in done.stdout
    own_server.client.config_set("maxmemory-policy", "allkeys-lru")
    own_server.client.config_set("appendonly", "no")
    findings = {one["subject"]: one for one in json.loads(run("doctor", "--url", own_server.url, "--json").stdout)}
    assert findings["policy"]["level"] == findings["persistence"]["level"] == "warn"
    assert "noeviction" in findings["policy"]["advice"]
    own_server.client.set("sessions:meta", "7")
    wrong = run("doctor", "--url", own_server.url)
    assert wrong.returncode == 1
    assert "schema" in wrong.stdout


def test_a_users_mistakes_get_one_line(own_server: Server, tmp_path: Path) -> None:
    """A missing session, a bad id, a wrong URL, a server that is down, a missing file: exit codes 2 and 3."""
    down = f"redis://:secret@127.0.0.1:{free_port()}"
    for code, arguments in (
        (2, ("show", "nobody", "--url", own_server.url)),
        (2, ("show", "a b", "--url", own_server.url)),
        (2, ("show", "a", "--url", "http://x")),
        (2, ("replay", str(tmp_path / "none.jsonl"))),
        (2, ("replay", str(tmp_path), "--url", own_server.url)),
        (2, ("replay", str(lines(tmp_path / "empty.jsonl")))),
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
        (3, ("doctor", "--url", down)),
    ):
        done = run(*arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert "secret" not in done.stderr
        assert done.stderr.strip()


def test_leases_are_listed_shown_and_ended(server: Server) -> None:
    """The holder by name, who waits, and what it holds up."""
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
        assert "1 messages in the inbox" in shown
        assert run("lease", "release", "a", "--url", server.url, "--fence", "7").returncode == 2
        assert "released: worker-7" in run("lease", "release", "a", "--url", server.url, "--fence", "1").stdout
        again = run("lease", "release", "a", "--url", server.url)
        assert ("nobody holds" in again.stdout, again.returncode) == (True, 1)
        assert run("lease", "show", "a", "--url", server.url, "--json").stdout.strip() == "null"
        assert "no lease is held" in run("lease", "ls", "--url", server.url).stdout
        with pytest.raises(LeaseLost):
            lease.release()
    missing = run("lease", "show", "none", "--url", server.url)
    assert (missing.returncode, "does not exist" in missing.stderr) == (2, True)
    assert run("lease", "ls", "--url", server.url, "--cursor", "x").returncode == 2
    server.client.flushall()


def test_a_message_neither_steers_the_terminal_nor_looks_like_another(server: Server) -> None:
    """Control characters are shown, further lines are indented."""
    with SessionCache.from_url(server.url) as cache:
        cache.create("a").append({"role": "tool", "content": "\x1b[31mred\u202e\nuser 99 faked"})
    shown = run("show", "a", "--url", server.url).stdout
    assert "\\x1b[31mred\\u202e" in shown
    assert "\nuser 99" not in shown
    server.client.flushall()
