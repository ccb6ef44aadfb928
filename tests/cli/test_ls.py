"""Finding sessions on the command line: filters, pages, counts, one line for a mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from redis_sessions import SessionCache
from tests.cli.running import run
from tests.servers import Server


@pytest.fixture
def url(own_server: Server) -> Iterator[str]:
    """Three sessions: of mia, done; of mia, tagged; of an agent, with a task for a name."""
    with SessionCache.from_url(own_server.url) as cache:
        first = cache.create("first", user_id="mia", tags=["a", "b"], name="\x1b[2J [bold]it")
        first.append({"role": "user", "content": "x"}, {"role": "user", "content": "y"})
        cache.create("second", user_id="mia", tags=["a"])
        cache.create("third", agent_id="bot", kind="cron")
        first.complete()
        yield own_server.url


def ids(*arguments: str) -> list[str]:
    done = run("ls", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def test_sessions_are_a_table(url: str) -> None:
    """Newest first; a name neither steers the terminal nor is markup."""
    done = run("ls", "--url", url)
    head, *lines = [line.split() for line in done.stdout.splitlines()]
    assert head == ["session", "status", "kind", "user", "agent", "messages", "updated", "name", "or", "task"]
    assert [line[0] for line in lines] == ["first", "third", "second"]
    assert lines[0][:5] == ["first", "completed", "main", "mia", "2"]
    assert lines[0][-3:] == ["ago", "\\x1b[2J", "[bold]it"]
    assert (done.returncode, done.stderr, "\x1b" in done.stdout) == (0, "", False)


def test_filters_combine(url: str) -> None:
    """By user, agent, tags, kind, and whether they are active; by creation, too."""
    at = ("--url", url)
    assert ids("--user", "mia", *at) == ["first", "second"]
    assert ids("--user", "mia", "--active", *at) == ["second"]
    assert ids("--tag", "a", "--tag", "b", *at) == ["first"]
    assert ids("--agent", "bot", "--kind", "cron", *at) == ["third"]
    assert ids("--kind", "main", "--kind", "cron", "--order", "created", *at) == ["third", "second", "first"]
    assert ids("--label", "none", *at) == []
    assert run("ls", "--count", *at).stdout == "3\n"
    assert run("ls", "--count", "--user", "mia", "--tag", "b", *at).stdout == "1\n"


def test_pages_go_on_where_they_ended(url: str) -> None:
    """The cursor is on standard error, for the table and for JSON."""
    page = run("ls", "--limit", "2", "--json", "--url", url)
    assert [json.loads(line)["id"] for line in page.stdout.splitlines()] == ["first", "third"]
    word, option, cursor = page.stderr.split()
    assert (word, option) == ("more:", "--cursor")
    assert ids("--cursor", cursor, "--url", url) == ["second"]
    assert run("ls", "--limit", "2", "--url", url).stderr == page.stderr
    other = run("ls", "--cursor", cursor, "--user", "mia", "--url", url)
    assert (other.returncode, other.stderr.count("\n"), "another query" in other.stderr) == (2, 1, True)


def test_nothing_found_is_one_line(url: str) -> None:
    """And exit 0."""
    done = run("ls", "--user", "nobody", "--url", url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no sessions\n")


def test_mistakes_get_one_line(url: str) -> None:
    """Limits, cursors, kinds, orders and users: exit 2."""
    for told, arguments in (
        ("from 1 to 1000", ("--limit", "0")),
        ("from 1 to 1000", ("--limit", "1001")),
        ("none of a page", ("--cursor", "x")),
        ("'robot' is none of main", ("--kind", "robot")),
        ("'age' is none of updated", ("--order", "age")),
        ("may not contain whitespace", ("--user", "a b")),
    ):
        done = run("ls", *arguments, "--url", url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), (arguments, done.stderr)
        assert told in done.stderr, arguments
