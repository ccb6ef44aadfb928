"""Commands on a terminal of 80 columns: no line is wider, and IDs and names stay readable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redis_sessions import Message, SessionCache
from tests.cli.terminal import shown_lines
from tests.cli.test_workers import add_worker
from tests.support.servers import Server, await_true

OWNER = "ip-10-0-12-33.eu-central-1.compute.internal:48213"


@pytest.fixture
def url(own_server: Server) -> Iterator[str]:
    """Yield the URL of a server whose sessions have long IDs, names and holders."""
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("root", user_id="customer-from-far-away", agent_id="support-assistant", name="Lost luggage")
        root.append(Message("user", "word " * 40 + "end"), Message("user", "line\nuser 99 faked"))
        root.spawn("researcher", task="Find the bag of a traveller in every airport between Lisbon and Tokyo")
        run = cache.claim("researcher", owner=OWNER, ttl=60)
        assert run is not None
        await_true(lambda: len(cache.leases().items) == 1)
        add_worker(cache, "0123456789ab", OWNER, 3, run.id, run.id)
        yield own_server.url


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls",),
        ("tree", "root"),
        ("show", "root"),
        ("lease", "ls"),
        ("lease", "show", "root"),
        ("workers",),
        ("top", "--once"),
        ("doctor",),
        ("ls", "--help"),
    ],
    ids=" ".join,
)
def test_output_fits_into_80_columns(url: str, arguments: tuple[str, ...]) -> None:
    """Every line that a command prints has at most 80 characters."""
    lines = shown_lines(*arguments, *(() if "--help" in arguments else ("--url", url)))
    assert max(map(len, lines)) <= 80, lines


def test_ls_and_lease_ls_show_unique_ends_that_commands_take(url: str) -> None:
    """A narrow terminal gets a short ID, which names the session in other commands, and --wide prints the whole ID."""
    with SessionCache.from_url(url) as cache:
        (child,) = cache.session("root").children()
    short = f"…{child.id[-8:]}"
    for command in (("ls",), ("lease", "ls")):
        lines = shown_lines(*command, "--url", url)
        assert any(line.startswith(f"{short} ") for line in lines), lines
        assert any(child.id in line for line in shown_lines(*command, "--wide", "--url", url))
    assert any(child.id in line for line in shown_lines("show", short, "--url", url))


def test_lease_ls_shortens_names_of_holders(url: str) -> None:
    """The name of a holder keeps its beginning and its end."""
    lines = shown_lines("lease", "ls", "--url", url)
    holder = lines[1][lines[0].index("holder") :].split()[0]
    assert holder.startswith("ip-10-")
    assert holder.endswith(":48213")


def test_show_indents_wrapped_lines_of_a_message(url: str) -> None:
    """The text of a message stays in its own column, so no line of it looks like another message."""
    lines = shown_lines("show", "root", "--url", url)
    begin = next(at for at, line in enumerate(lines) if line.startswith("     user 1"))
    heads = [line[:10].strip() for line in lines[begin:]]
    assert [head for head in heads if head] == ["user", "user"]
    assert any(line.strip() == "user 99 faked" for line in lines)
