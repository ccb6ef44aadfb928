"""Names and texts that would control a terminal, through every command of the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer.main

from redis_sessions import SessionCache
from redis_sessions._core.commands import workers
from redis_sessions._core.protocol.keys import worker_keys
from redis_sessions.cli.app import escape_json
from redis_sessions.cli.commands import app, errors
from redis_sessions.cli.main import main
from tests.cli.terminal import terminal
from tests.support.dashboard import dashboard
from tests.support.servers import Server, binaries

EVIL = "\x1b]0;pwn\x07\x1b[31;5;44m\x9b31m\x85\r\x08\x7f\u202egnp\u2066x\u200f\u2028[bold]"
"""Escape sequences, C1 controls, a carriage return, marks that turn the direction of text, and markup of rich."""
FORBIDDEN = ("\x1b]0", "\x07", "\x1b[31;5;44m", "\x9b", "\x85", "\x08", "\x7f", "\u202e", "\u2066", "\u200f", "\u2028")
NAMESPACE = "acme"
LABEL = "evil"
COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "append": [("append", "root", "text"), ("append", "other", "--payload", "{", EVIL)],
    "cancel": [("cancel", "gone", "--reason", EVIL)],
    "codec reencrypt": [("codec", "reencrypt")],
    "codec sweep": [("codec", "sweep")],
    "codec train": [("codec", "train", "--out", "dictionary")],
    "delete": [("delete", "doomed", "--yes"), ("delete", EVIL, "--yes")],
    "docs get": [("docs", "get", "notes", "json"), ("docs", "get", EVIL, EVIL), ("docs", "get", "notes", EVIL)],
    "docs ls": [("docs", "ls"), ("docs", "ls", "notes")],
    "docs put": [("docs", "put", EVIL, "x", EVIL)],
    "docs rm": [("docs", "rm", "notes", EVIL)],
    "doctor": [("doctor",), ("doctor", "--acl", EVIL), ("doctor", "--acl-line"), ("doctor", "--repair", "--dry-run")],
    "export": [("export", EVIL)],
    "forget": [("forget", "mia", "--yes"), ("forget", EVIL, "--yes")],
    "import": [("import", EVIL)],
    "lease ls": [("lease", "ls")],
    "lease release": [("lease", "release", "held", "--fence", "9")],
    "lease show": [("lease", "show", "held"), ("lease", "show", "--label", EVIL)],
    "metrics": [("metrics",)],
    "ls": [("ls",), ("ls", "--user", EVIL), ("ls", "--label", EVIL)],
    "pause": [("pause", "other", "--reason", EVIL)],
    "prune": [("prune", "--max-sessions", "1000", "--yes")],
    "recover": [("recover",), ("recover", "--agent", EVIL)],
    "replay": [("replay", "hostile.jsonl")],
    "request-cancel": [("request-cancel", "other", "--reason", EVIL)],
    "resume": [("resume", "other")],
    "retry": [("retry", "root")],
    "scripts load": [("scripts", "load")],
    "send": [("send", "root", EVIL), ("send", "held", "text", "--wait", "10ms")],
    "show": [("show", "root"), ("show", "held"), ("show", "--label", LABEL)],
    "spawn": [("spawn", "root", "clerk", "--task", EVIL), ("spawn", "root", EVIL)],
    "top": [("top", "--once")],
    "tree": [("tree", "root")],
    "watch": [("watch", "root", "--timeout", "100ms"), ("watch", "--user", EVIL, "--timeout", "100ms")],
    "workers": [("workers",), ("workers", "--agent", EVIL)],
}
"""Commands with arguments. `demo` makes its own names.

`dashboard` has a test of its pages, `worker` has a test of its own, and `mcp` has tests with a client.
"""
HAS_NO_JSON = {"docs get", "docs put", "export", "metrics"}


@pytest.fixture(scope="module")
def hostile() -> Iterator[Server]:
    """Return a server whose sessions, queues, documents and workers have hostile texts in every field that holds any."""
    server = Server(binaries()["valkey-9"])
    with SessionCache.from_url(server.url, namespace=NAMESPACE) as cache:
        root = cache.create("root", name=EVIL, metadata={"k": EVIL}, system_prompt=EVIL)
        root.append({"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL, EVIL: EVIL})
        call = {"id": EVIL, "type": "function", "function": {"name": EVIL, "arguments": EVIL}}
        root.append({"role": "assistant", "tool_calls": [call]}, {"role": "assistant", "x": EVIL})
        for agent in ("clerk", "reader"):
            root.spawn(agent, task=EVIL, label=LABEL if agent == "clerk" else None)
        run = cache.claim("reader")
        assert run is not None
        run.fail(reason=EVIL)
        other = cache.create("other", name=EVIL)
        other.pause(reason=EVIL)
        cache.create("doomed", name=EVIL)
        cache.create("gone", name=EVIL)
        lease = cache.create("held", name=EVIL).lease(ttl=600, owner="me")
        lease.acquire()
        cache.documents("notes").put_json("json", {EVIL: EVIL})
        registrant = workers.Registrant("w1", EVIL, (EVIL,), 4, 30_000)
        cache._executor.run(workers.heartbeat(worker_keys(NAMESPACE), registrant, [EVIL], None))
        _overwrite(server)
        yield server
        lease.release()
    server.stop()


def _overwrite(server: Server) -> None:
    """Write hostile texts behind the library's back, as a damaged or foreign client does."""
    client, word = server.client, EVIL.replace("\r", "")
    for key in client.scan_iter(f"{NAMESPACE}:*:session:*"):
        client.hset(key, mapping={"user": EVIL, "agent": EVIL, "label": EVIL, "tags": json.dumps([EVIL, EVIL])})
        lease: Any = client.hget(key, "lease") or b""
        if lease.count(b" ") == 6:
            client.hset(key, "lease", lease.rpartition(b" ")[0] + b" " + word.encode())
    client.hset(f"{NAMESPACE}:documents:notes", f"{EVIL}.md", EVIL)
    client.zadd(f"{NAMESPACE}:index:documents", {EVIL: 1})
    client.zadd(f"{NAMESPACE}:index:agents", {EVIL: 2**50})
    for key in client.scan_iter(f"{NAMESPACE}:*:all:main:active:*"):
        client.zadd(key, {EVIL: 2**50})


def call_main(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[str, str]:
    """Run the command line in this process. Return what it printed on standard output and on standard error."""
    monkeypatch.setattr("sys.argv", ["redis-sessions", *arguments])
    monkeypatch.setenv("COLUMNS", "120")
    with suppress(SystemExit):
        main()
    return capsys.readouterr()


def is_neutral(text: str) -> bool:
    """Return whether text cannot control a terminal that it is printed on."""
    return all(one.isprintable() or one == "\n" for one in text)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_command_prints_no_control_character(
    hostile: Server, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command prints a control character, C1, or a mark of direction, as text or as JSON, whatever a server holds."""
    file = tmp_path / "hostile.jsonl"
    file.write_text(EVIL)
    for given in COMMANDS[command]:
        arguments = [str(file) if one == file.name else one for one in given]
        if command != "replay":
            arguments += ["--url", hostile.url]
            arguments += ["--namespace", NAMESPACE] if command != "scripts load" else []
        for form in ([], ["--json"]) if command not in HAS_NO_JSON else ([],):
            stdout, stderr = call_main(capsys, monkeypatch, *arguments, *form)
            assert is_neutral(stdout), (given, stdout)
            assert is_neutral(stderr), (given, stderr)
            assert "no such option" not in stderr.lower(), stderr
            assert stdout + stderr, given


def test_dashboard_shows_no_control_character(hostile: Server) -> None:
    """No page of the dashboard has such a character, or markup of a stored text, whatever a server holds."""
    pages = [
        "/",
        "/sessions",
        "/work",
        "/work?state=failed",
        "/workers",
        "/poison",
        "/health",
        "/sessions?status=paused",
    ]
    pages += [f"/{name}?id={id}" for id in ("root", "held", "other") for name in ("session", "tree", "action/cancel")]
    with (
        SessionCache.from_url(hostile.url, namespace=NAMESPACE) as cache,
        dashboard(cache, allow_actions=True) as running,
        running.client() as client,
    ):
        for path in pages:
            page = client.get(path)
            assert page.status_code in (200, 400, 404, 409), (path, page.text[-2000:])
            assert is_neutral(page.text), path
            assert page.text.count("<script") == 1, path


@pytest.mark.parametrize("command", ["docs get", "export", "show", "tree", "top"])
def test_terminal_gets_no_hostile_sequence(hostile: Server, command: str) -> None:
    """A terminal gets the sequences of the command line only. Documents and exports are escaped there, too."""
    arguments = {"docs get": ("docs", "get", "notes", EVIL), "export": ("export", "root", "--no-tree")}
    given = arguments.get(command) or COMMANDS[command][0]
    with terminal(*given, "--url", hostile.url, "--namespace", NAMESPACE, columns=200) as view:
        view.end()
        shown = view.output.decode()
    assert "pwn" in shown
    assert [one for one in FORBIDDEN if one in shown] == []


def test_every_command_is_tried() -> None:
    """Each command of the app stands in the table."""
    group = typer.main.get_group(app)
    names = set()
    for name, one in group.commands.items():
        names |= {f"{name} {sub}" for sub in getattr(one, "commands", {})} or {name}
    assert names - {"dashboard", "demo", "mcp", "worker"} == set(COMMANDS)
    assert errors.stderr


def test_export_of_a_terminal_is_the_same_json(hostile: Server) -> None:
    """JSON whose control characters are escaped has the same value."""
    text = json.dumps({EVIL: [EVIL, "ä😀"]}, ensure_ascii=False)
    assert json.loads(escape_json(text)) == json.loads(text)
    assert is_neutral(escape_json(text))
