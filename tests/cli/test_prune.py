"""Removing old sessions on the command line: what is handed on, what is asked, what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from redis_sessions import InvalidInput, SessionCache
from redis_sessions.cli import prune as command
from redis_sessions.cli.commands import app
from tests.servers import Server

Asked = list[dict[str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What `prune` of the cache was asked for; it finds seven sessions."""
    calls: Asked = []

    def prune(
        cache: SessionCache, max_sessions: int = 0, max_age: float = 0, *, cooldown: float = 0, dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> int:  # fmt: skip
        assert progress is not None
        progress(7)
        calls.append({"sessions": max_sessions, "age": max_age, "cooldown": cooldown, "dry": dry_run})
        return 7

    monkeypatch.setattr(SessionCache, "prune", prune, raising=False)
    return calls


def pruned(server: Server, *arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["prune", *arguments, "--url", server.url], input=typed)


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        stdin = type("Typed", (), {"isatty": lambda self: True})()

    monkeypatch.setattr(command, "sys", Terminal)


def test_bounds_are_handed_on(own_server: Server, asked: Asked) -> None:
    """Durations in seconds, minutes, hours and days."""
    done = pruned(own_server, "--max-sessions", "5", "--max-age", "7d", "--cooldown", "30m", "--yes")
    assert (done.exit_code, done.stdout) == (0, "removed 7 sessions, with all below them\n")
    assert asked == [{"sessions": 5, "age": 7 * 86_400, "cooldown": 1800, "dry": False}]
    assert pruned(own_server, "--max-age", "90", "--yes", "--json").stdout == '{"removed": 7}\n'
    assert (asked[1]["sessions"], asked[1]["age"]) == (0, 90)


def test_a_dry_run_only_says_how_many(own_server: Server, asked: Asked) -> None:
    """It needs no yes."""
    done = pruned(own_server, "--max-age", "12h", "--dry-run")
    assert (done.exit_code, done.stdout) == (0, "would remove 7 sessions, with all below them\n")
    assert [one["dry"] for one in asked] == [True]


def test_a_terminal_is_asked_first(own_server: Server, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how many it would be; nothing goes without a yes."""
    at_a_terminal(monkeypatch)
    no = pruned(own_server, "--max-age", "1d", typed="n\n")
    assert (no.exit_code, "removed 7" in no.stdout) == (1, False)
    assert "remove 7 sessions, with all below them, of namespace sessions" in no.stderr
    assert [one["dry"] for one in asked] == [True]
    yes = pruned(own_server, "--max-age", "1d", typed="y\n")
    assert (yes.exit_code, yes.stdout.endswith("removed 7 sessions, with all below them\n")) == (0, True)
    assert [one["dry"] for one in asked] == [True, True, False]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--yes",),
        ("--max-age", "1d"),
        ("--max-age", "soon", "--yes"),
        ("--max-age", "1w", "--yes"),
        ("--max-age", "0", "--yes"),
        ("--max-age", "1d", "--cooldown", "-1", "--yes"),
        ("--max-sessions", "0", "--yes"),
    ],
)
def test_mistakes_are_refused(own_server: Server, asked: Asked, arguments: tuple[str, ...]) -> None:
    """Before anything is looked at; also a run without a terminal and without a yes."""
    done = pruned(own_server, *arguments)
    assert isinstance(done.exception, InvalidInput | typer.Exit | SystemExit)
    assert (done.exit_code, asked) != (0, [])
    assert asked == []
