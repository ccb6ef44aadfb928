"""Lists of sessions on the command line: filters, pages, counts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from redis_sessions import SessionCache
from tests.support.command_line import run
from tests.support.servers import Server


@pytest.fixture
def url(own_server: Server) -> Iterator[str]:
    """Yield the URL of a server with three sessions: a completed one and a tagged one of mia, and one of an agent."""
    with SessionCache.from_url(own_server.url) as cache:
        first = cache.create("first", user_id="mia", tags=["a", "b"], name="\x1b[2J [bold]it")
        first.append({"role": "user", "content": "x"}, {"role": "user", "content": "y"})
        cache.create("second", user_id="mia", tags=["a"])
        cache.create("third", agent_id="bot", kind="cron")
        first.complete()
        yield own_server.url


def ids(*arguments: str) -> list[str]:
    """Return the IDs that `ls --json` prints."""
    done = run("ls", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def test_sessions_are_printed_as_a_table_newest_first(url: str) -> None:
    """A name is printed as text: it cannot control the terminal, and is not markup."""
    done = run("ls", "--url", url)
    head, *lines = [line.split() for line in done.stdout.splitlines()]
    assert head == ["session", "status", "kind", "user", "agent", "messages", "updated", "label", "name", "or", "task"]
    assert [line[0] for line in lines] == ["first", "third", "second"]
    assert lines[0][:5] == ["first", "completed", "main", "mia", "2"]
    assert lines[0][-3:] == ["ago", "\\x1b[2J", "[bold]it"]
    assert (done.returncode, done.stderr, "\x1b" in done.stdout) == (0, "", False)


def test_filters_combine(url: str) -> None:
    """A list is filtered by user, agent, tags, kinds and activity, and ordered by change or creation."""
    at = ("--url", url)
    assert ids("--user", "mia", *at) == ["first", "second"]
    assert ids("--user", "mia", "--active-only", *at) == ["second"]
    assert ids("--tag", "a", "--tag", "b", *at) == ["first"]
    assert ids("--agent", "bot", "--kind", "cron", *at) == ["third"]
    assert ids("--kind", "main", "--kind", "cron", "--order", "created", *at) == ["third", "second", "first"]
    assert ids("--label", "none", *at) == []
    assert run("ls", "--count", *at).stdout == "3\n"
    assert run("ls", "--count", "--user", "mia", "--tag", "b", *at).stdout == "1\n"


def test_page_begins_where_the_page_before_ended(url: str) -> None:
    """The cursor of the next page is printed on standard error, for the table and for JSON."""
    page = run("ls", "--limit", "2", "--json", "--url", url)
    assert [json.loads(line)["id"] for line in page.stdout.splitlines()] == ["first", "third"]
    word, option, cursor = page.stderr.split()
    assert (word, option) == ("more:", "--cursor")
    assert ids("--cursor", cursor, "--url", url) == ["second"]
    assert run("ls", "--limit", "2", "--url", url).stderr == page.stderr
    other = run("ls", "--cursor", cursor, "--user", "mia", "--url", url)
    assert (other.returncode, other.stderr.count("\n"), "another query" in other.stderr) == (2, 1, True)


def test_empty_list_exits_with_0(url: str) -> None:
    """One line on standard error says that no session matches."""
    done = run("ls", "--user", "unknown", "--url", url)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"no matching sessions in namespace sessions on {url}\n"
    assert run("ls", "--namespace", "other", "--url", url).stderr == f"no sessions in namespace other on {url}\n"


def test_wrong_filter_exits_with_2(url: str) -> None:
    """One line on standard error says what was expected and what was given."""
    for told, arguments in (
        ("from 1 to 1000", ("--limit", "0")),
        ("from 1 to 1000", ("--limit", "1001")),
        ("must be the cursor of a page", ("--cursor", "x")),
        ("got 'robot'", ("--kind", "robot")),
        ("got 'age'", ("--order", "age")),
        ("must not contain white space", ("--user", "a b")),
    ):
        done = run("ls", *arguments, "--url", url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), (arguments, done.stderr)
        assert told in done.stderr, arguments
