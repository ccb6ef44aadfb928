"""Sessions on the command line: by whole ID, by short ID, and by label."""

from __future__ import annotations

import json

import pytest

from redis_sessions import InvalidInput, Message, SessionCache, SessionNotFound
from redis_sessions.cli import session_ids
from redis_sessions.cli.app import shorten
from redis_sessions.cli.session_ids import LabelUnknown, find_session, is_short_for, short_ids
from tests.support.command_line import run
from tests.support.servers import Server

CHILD = "agent:researcher:subagent:3f7c0a91-2b4d-8e6f-9a1b-0c2d3e4f5a6b"


@pytest.mark.parametrize(
    ("text", "id", "is_short"),
    [
        ("trip", "trip-7", True),
        ("ip-7", "trip-7", True),
        ("agent:researcher:subagent:3f7c", CHILD, True),
        ("3e4f5a6b", CHILD, True),
        ("5a6b", CHILD, True),
        ("agent:researcher:subagent:3f7c0", CHILD, True),
        ("agent:researcher:subagent:3", CHILD, True),
        ("agent:rese…4f5a6b", CHILD, True),
        ("…4f5a6b", CHILD, True),
        ("a…b", CHILD, False),
        ("trip-7…trip-7", "trip-7", False),
        ("rip-", "trip-7", False),
        ("user-1", "user-12", False),
        ("user1", "user12", False),
        ("~4f5a6b", CHILD, True),
        ("agent:rese~4f5a6b", CHILD, True),
        ("2026", "report-12026", False),
        ("2026", "report-2026", True),
        ("2026", "20261", False),
        ("01hx4", "01hx42kq", True),
        ("0000", "00000000-0000-8000-8000-000000000001", True),
    ],
)
def test_short_id_is_beginning_or_end_and_cuts_no_number(text: str, id: str, is_short: bool) -> None:
    """A UUID may be cut between two digits, and another number may not."""
    assert is_short_for(text, id) is is_short


def test_short_ids_are_unique_ends() -> None:
    """IDs that fit stay whole. Others have an end of 8 characters, or as many more as make them different."""
    assert short_ids([], 20) == {}
    assert short_ids(["root", "trip-7"], 20) == {"root": "root", "trip-7": "trip-7"}
    assert short_ids([CHILD, "a-12345678"], 20) == {CHILD: "…3e4f5a6b", "a-12345678": "…12345678"}
    first, second = f"{'a' * 30}-1-12345678", f"{'a' * 30}-2-12345678"
    assert short_ids([first, second], 20) == {first: f"…{first[-12:]}", second: f"…{second[-12:]}"}
    left, right = f"left-{'x' * 40}", f"right-{'x' * 40}"
    assert short_ids([left, right], 20) == {left: "left-xxx…xxxxxxxx", right: "right-xx…xxxxxxxx"}
    assert all(is_short_for(short, id) for id, short in short_ids([left, right, CHILD], 20).items())


def test_ids_without_a_unique_short_form_stay_whole() -> None:
    """No screen shows two sessions under one ID."""
    ids = [f"{'a' * 20}{number}{'b' * 20}" for number in range(3)]
    assert short_ids(ids, 20) == {id: id for id in ids}


def test_narrow_column_keeps_the_end_of_an_id() -> None:
    """A shortened ID is short for the ID, and its end differs from those of its siblings."""
    assert [shorten(CHILD, width, 8) for width in (10, 20)] == ["a…3e4f5a6b", "agent:rese…d3e4f5a6b"]
    assert is_short_for(shorten(CHILD, 9, 8), CHILD)


def test_whole_id_wins_over_short_id_and_is_not_searched(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole ID is found without a search, also when the ID is short for another one."""
    cache.create("trip")
    cache.create("trip-7")
    monkeypatch.delattr(session_ids, "_newest_ids")
    assert find_session(cache, "trip").id == "trip"


def test_unique_short_id_finds_its_session(cache: SessionCache) -> None:
    """The beginning and the end of an ID are found, and fewer than 4 characters are not."""
    cache.create("trip-7-lisbon")
    cache.create("order-8")
    assert find_session(cache, "trip").id == "trip-7-lisbon"
    assert find_session(cache, "lisbon").id == "trip-7-lisbon"
    for text in ("tri", "lisb", "nothing"):
        with pytest.raises(SessionNotFound) as caught:
            find_session(cache, text)
        assert caught.value.facts["session_id"] == text


def test_session_that_is_gone_makes_no_short_id_ambiguous(cache: SessionCache) -> None:
    """An index entry of a session that is gone does not count."""
    cache.create("trip-7")
    cache.create("trip-8")
    cache.delete("trip-8")
    assert find_session(cache, "trip").id == "trip-7"


def test_ambiguous_short_id_lists_five_candidates(cache: SessionCache) -> None:
    """The error lists up to five sessions, those that changed last first."""
    for number in range(7):
        cache.create(f"trip-{number}")
    cache.create("car-1-trip")
    with pytest.raises(InvalidInput) as caught:
        find_session(cache, "trip")
    text = str(caught.value)
    assert text.startswith(
        "ID: 'trip' is short for several sessions: car-1-trip, trip-6, trip-5, trip-4, trip-3 and more"
    )
    with pytest.raises(InvalidInput, match=r"several sessions: trip-6, trip-5, trip-4, trip-3, trip-2 and more\. Give"):
        find_session(cache, "trip-")


def test_search_ends_at_its_bound(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the sessions that changed last are searched, page by page."""
    for number in range(40):
        cache.create(f"session-{number}-end")
    monkeypatch.setattr(session_ids, "_SCANNED", 1)
    assert find_session(cache, "session-0").id == "session-0-end"
    monkeypatch.setattr(session_ids, "MAX_SEARCHED", 20)
    assert find_session(cache, "session-39").id == "session-39-end"
    with pytest.raises(SessionNotFound):
        find_session(cache, "session-0")


def test_label_is_looked_up_in_the_tree_of_any_session(cache: SessionCache) -> None:
    """The ID names the root, or any other session of the tree."""
    root = cache.create("trip-7")
    bags = root.spawn("researcher", label="bags").session_key
    assert bags is not None
    tags = cache.session(bags).spawn("reader", label="tags").session_key
    other = cache.create("trip-8").spawn("researcher", label="bags").session_key
    assert find_session(cache, "trip-7", "tags").id == tags
    assert find_session(cache, tags, "bags").id == bags
    assert find_session(cache, bags, "bags").id == bags
    assert find_session(cache, "trip-8", "bags").id == other
    with pytest.raises(LabelUnknown, match="no session of the tree of 'trip-8' has the label 'tags'"):
        find_session(cache, "trip-8", "tags")


def test_label_alone_must_be_unique_in_the_namespace(cache: SessionCache) -> None:
    """Without an ID an active session is taken before a paused one, and a paused one before one that ended."""
    first = cache.create("trip-7").spawn("researcher", label="bags").session_key
    second = cache.create("trip-8").spawn("researcher", label="bags").session_key
    assert first is not None
    assert second is not None
    with pytest.raises(InvalidInput, match="'bags' is the label of several sessions"):
        find_session(cache, None, "bags")
    cache.session(first).pause()
    assert find_session(cache, None, "bags").id == second
    cache.session(second).complete()
    assert find_session(cache, None, "bags").id == first
    with pytest.raises(LabelUnknown, match="no session has the label 'none' in namespace"):
        find_session(cache, None, "none")
    with pytest.raises(InvalidInput, match="ID: is missing"):
        find_session(cache, None)


def test_unknown_label_exits_with_1(own_server: Server) -> None:
    """The answer is no, and names the namespace and the server."""
    done = run("tree", "--label", "x", "--url", own_server.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error no session has the label 'x' in namespace sessions on {own_server.url}\n"


def test_every_command_takes_short_ids_and_labels(own_server: Server) -> None:
    """Each command that takes an ID finds the same session by all forms."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("trip-7-lisbon")
        child = root.spawn("researcher", label="bags").session_key
        assert child is not None
        cache.session(child).append(Message("user", "black"))
    forms = ((child,), (child[-8:],), (f"agent:…{child[-6:]}",), ("trip-7", "--label", "bags"), ("--label", "bags"))
    for form in forms:
        for command in (
            ("show",),
            ("tree",),
            ("lease", "show"),
            ("export",),
            ("watch", "--timeout", "100ms", "--json"),
        ):
            done = run(*command, *form, *url)
            assert done.returncode == 0, (command, form, done.stderr)
            assert child in done.stdout, (command, form)
        assert run("lease", "release", *form, *url).stdout == f"no worker holds the lease of {child}\n"
    assert run("watch", "--tree", "lisbon", "--label", "bags", "--timeout", "100ms", *url).returncode == 0
    spawned = json.loads(run("spawn", "reader", "--parent-label", "bags", *url, "--json").stdout)
    assert spawned["status"] == "accepted"
    assert run("spawn", "trip-7", "reader", "--parent-label", "bags", *url).returncode == 0
    with SessionCache.from_url(own_server.url) as cache:
        assert len(cache.session(child).children()) == 2
    cancelled = json.loads(run("cancel", "--label", "bags", *url, "--json").stdout)
    assert cancelled["cancelled"][0] == child


def test_wrong_ids_are_refused_with_exit_code_2(own_server: Server) -> None:
    """An ambiguous short ID, a missing ID and a label of no session are wrong input."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("trip-7")
        cache.create("trip-8")
    url = ("--url", own_server.url)
    for arguments, text in (
        (("show", "trip"), "error ID: 'trip' is short for several sessions: trip-8, trip-7. Give more characters\n"),
        (("show",), "error ID: is missing: give the ID of a session, or --label\n"),
        (("spawn", "trip-7"), "error AGENT: is missing: name the agent whose workers claim the child\n"),
        (("watch", "--label", "x", "--user", "mia"), "error watch: needs exactly one of"),
    ):
        done = run(*arguments, *url)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith(text), (arguments, done.stderr)
