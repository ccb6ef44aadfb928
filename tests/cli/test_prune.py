"""Pruning on the command line: the bounds that reach the cache, the question, and the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from redis_sessions import InvalidInput, SessionCache
from redis_sessions.cli import prune as command
from redis_sessions.cli.commands import app
from tests.support.servers import Server

Calls = list[dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Return the arguments of each call of `cache.prune`, which finds seven sessions."""
    made: Calls = []

    def prune(
        cache: SessionCache, max_sessions: int = 0, max_age: float = 0, *, cooldown: float = 0, dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> int:  # fmt: skip
        assert progress is not None
        progress(7)
        made.append({"sessions": max_sessions, "age": max_age, "cooldown": cooldown, "dry": dry_run})
        return 7

    monkeypatch.setattr(SessionCache, "prune", prune, raising=False)
    return made


def prune(server: Server, *arguments: str, typed: str | None = None) -> Result:
    """Run `prune` in this process, with text that a user types."""
    return CliRunner().invoke(app, ["prune", *arguments, "--url", server.url], input=typed)


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the command find a terminal as its standard input."""

    class Terminal:
        stdin = type("Typed", (), {"isatty": lambda self: True})()

    monkeypatch.setattr(command, "sys", Terminal)


def test_bounds_reach_the_cache_in_seconds(own_server: Server, calls: Calls) -> None:
    """A duration is text with a unit, or a number of seconds."""
    done = prune(own_server, "--max-sessions", "5", "--max-age", "7d", "--cooldown", "30m", "--yes")
    assert (done.exit_code, done.stdout) == (0, "deleted 7 sessions, with all descendants\n")
    assert calls == [{"sessions": 5, "age": 7 * 86_400, "cooldown": 1800, "dry": False}]
    assert prune(own_server, "--max-age", "90", "--yes", "--json").stdout == '{"deleted": 7}\n'
    assert (calls[1]["sessions"], calls[1]["age"]) == (0, 90)


def test_dry_run_prints_the_number_of_sessions(own_server: Server, calls: Calls) -> None:
    """A dry run deletes nothing, and needs no --yes."""
    done = prune(own_server, "--max-age", "12h", "--dry-run")
    assert (done.exit_code, done.stdout) == (0, "would delete 7 sessions, with all descendants\n")
    assert [one["dry"] for one in calls] == [True]


def test_terminal_is_asked_before_the_deletion(
    own_server: Server, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question says how many sessions would be deleted, and only a yes deletes them."""
    use_terminal(monkeypatch)
    no = prune(own_server, "--max-age", "1d", typed="n\n")
    assert (no.exit_code, "deleted 7" in no.stdout) == (1, False)
    assert "Delete 7 sessions, with all descendants, from namespace sessions" in no.stderr
    assert [one["dry"] for one in calls] == [True]
    yes = prune(own_server, "--max-age", "1d", typed="y\n")
    assert (yes.exit_code, yes.stdout.endswith("deleted 7 sessions, with all descendants\n")) == (0, True)
    assert [one["dry"] for one in calls] == [True, True, False]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--yes",),
        ("--max-age", "1d"),
        ("--max-age", "soon", "--yes"),
        ("--max-age", "1y", "--yes"),
        ("--max-age", "0", "--yes"),
        ("--max-age", "1d", "--cooldown", "-1", "--yes"),
        ("--max-sessions", "0", "--yes"),
    ],
)
def test_wrong_bounds_are_refused_before_the_cache_is_called(
    own_server: Server, calls: Calls, arguments: tuple[str, ...]
) -> None:
    """A run without a terminal and without --yes is refused, too."""
    done = prune(own_server, *arguments)
    assert isinstance(done.exception, InvalidInput | typer.Exit | SystemExit)
    assert (done.exit_code, calls) != (0, [])
    assert calls == []
