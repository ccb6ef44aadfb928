"""The groups of a transcript: the short way that most appends take agrees with the full rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions._core.protocol.codec import call_hash
from tests.core.lua_functions import lua_function

GROUP_MESSAGE, GROUP_CALL = lua_function("group_message"), lua_function("group_call")
SETTLE_CALLS = lua_function("drop_closed_calls")
PARSE, FORMAT = lua_function("parse_layout"), lua_function("format_layout")
TIME = "8V`R-!!0"
TOOLS = {"id-1": "a", "id-2": "a", "id-3": "b"}
"""The tools of calls with IDs, for a vendor whose results can lack them."""
CALLS = st.lists(st.sampled_from(["a", "b", "c", "d", "a/2", "a/3", *TOOLS]), max_size=3, unique=True)


def hash_of(id: str) -> str:
    """Return the hash of a call, and that of its tool."""
    return call_hash(id) + (call_hash(TOOLS[id]) if id in TOOLS else "")


def message(kind: str, opens: list[str], closes: list[str], end: str = "") -> str:
    """Return a message as it is pushed. A tool message says that it continues the group."""
    facts = "".join(f"-{hash_of(id)}" for id in closes) + "".join(f"+{hash_of(id)}" for id in opens) + end
    flags = chr(64 + (2 if facts else 0) + (4 if kind == "t" else 0))
    return f"{TIME}{kind}{flags}1 b {facts} {{}}" if facts else f"{TIME}{kind}{flags}1 b {{}}"


MESSAGES = st.builds(message, st.sampled_from("uatcrs"), CALLS, CALLS, st.sampled_from(["", "", "~"]))


def grouped(text: str, seq: int, layout: str | None) -> tuple[str, str]:
    """Return a message as it is stored, and the layout behind it, '' for none."""
    parsed = PARSE(layout)
    stored = GROUP_MESSAGE(text, seq, parsed)[0]
    SETTLE_CALLS(parsed)
    return stored, FORMAT(parsed) or ""


@given(st.lists(MESSAGES, max_size=12))
def test_short_way_agrees_with_full_rules(texts: list[str]) -> None:
    """A message has the same flags, facts and layout on both ways, and the short way refuses what it cannot hold."""
    layout = ""
    for seq, text in enumerate(texts, 1):
        expected = grouped(text, seq, layout)
        if layout or ord(text[9]) > 65:
            found = GROUP_CALL(text[len(TIME) :], seq, layout or None)
            assert found is None or (TIME + found[0], found[1]) == expected
            is_refused = "~" in text or (layout != "" and layout.split(" ")[2] != "-")
            assert (found is None) == is_refused or (found is None and ("-" in text or text[9] == "F"))
        layout = expected[1]


def stored_flags(*texts: str) -> list[tuple[bool, str]]:
    """Return for each message of a transcript if it continues a group, and its facts."""
    found, layout = [], None
    for seq, text in enumerate(texts, 1):
        stored, layout = grouped(text, seq, layout)
        flags, words = ord(stored[9]), stored[11:].split(" ")
        found.append((flags % 8 >= 4, words[2] if flags % 4 >= 2 else ""))
    return found


ONE, TWO = call_hash("a"), call_hash("b")
SECOND, THIRD = call_hash("a/2"), call_hash("a/3")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([message("u", [], []), message("a", [], [])], [(False, ""), (False, "")]),
        (
            [message("a", ["a"], []), message("u", [], []), message("t", [], ["a"]), message("u", [], [])],
            [(False, f"+{ONE}"), (True, ""), (True, f"-{ONE}"), (False, "")],
        ),
        (
            [message("a", ["a", "b"], []), message("t", [], ["b"]), message("u", [], ["a"]), message("a", [], [])],
            [(False, f"+{ONE}+{TWO}"), (True, f"-{TWO}"), (True, f"-{ONE}"), (False, "")],
        ),
        (
            [message("r", [], [], "~"), message("c", ["a"], []), message("t", [], ["a"]), message("a", [], [])],
            [(False, "~"), (True, f"+{ONE}"), (True, f"-{ONE}"), (False, "")],
        ),
        (
            [
                *[message("r", [], [], "~"), message("c", ["a"], []), message("c", ["b"], [])],
                *[message("t", [], ["a"]), message("t", [], ["b"]), message("a", [], [])],
            ],
            [(False, "~"), *[(True, f"{sign}{hash}") for sign in "+-" for hash in (ONE, TWO)], (False, "")],
        ),
        (
            [message("r", [], [], "~"), message("c", [], []), message("c", [], []), message("a", [], [])],
            [(False, "~"), (True, ""), (True, ""), (False, "")],
        ),
        ([message("t", [], ["a"]), message("u", [], [])], [(False, f"?{ONE}"), (False, "")]),
        ([message("c", [], []), message("t", [], []), message("u", [], [])], [(False, ""), (True, ""), (False, "")]),
        (
            [message("a", ["a"], []), message("t", [], ["a", "b"]), message("t", [], ["a"])],
            [(False, f"+{ONE}"), (True, f"-{ONE}?{TWO}"), (False, f"?{ONE}")],
        ),
        (  # results of one function without IDs
            [message("a", ["a", "a/2", "a/3"], []), *[message("t", [], ids) for ids in (["a"], ["a", "a/2"], ["a"])]],
            [
                (False, f"+{ONE}+{SECOND}+{THIRD}"),
                (True, f"-{ONE}"),
                (True, f"-{SECOND}-{THIRD}"),
                (False, f"?{ONE}"),
            ],
        ),
    ],
)
def test_message_continues_group_until_all_calls_have_results(
    texts: list[str], expected: list[tuple[bool, str]]
) -> None:
    """A group goes on until each call has its result, a reasoning item binds the next one, and a late result is marked."""
    assert stored_flags(*texts) == expected


def short_way(text: str, seq: int, layout: str | None) -> tuple[str, str]:
    """Return what the script does: the short way, and the full rules for what that way refuses."""
    found = GROUP_CALL(text[len(TIME) :], seq, layout or None)
    return grouped(text, seq, layout) if found is None else (TIME + found[0], found[1])


@pytest.mark.parametrize("group", [grouped, short_way])
def test_group_ends_after_a_thousand_seqs(group: Callable[[str, int, str | None], tuple[str, str]]) -> None:
    """A call that is never answered does not make the group longer without an end, and a later result is marked as late."""
    layout = group(message("a", ["a"], []), 1, None)[1]
    for seq in (2, 1000):
        stored, layout = group(message("u", [], []), seq, layout)
        assert ord(stored[9]) % 8 >= 4
        assert layout.startswith(f"{call_hash('a')}:1 1 ")
    stored, layout = group(message("u", [], []), 1001, layout)
    assert (ord(stored[9]) % 8 >= 4, layout) == (False, "")
    late = group(message("t", [], ["a"]), 1002, layout)[0]
    assert f"?{call_hash('a')}" in late


@pytest.mark.parametrize("group", [grouped, short_way])
def test_open_calls_are_bounded(group: Callable[[str, int, str | None], tuple[str, str]]) -> None:
    """A transcript remembers its newest 1,024 open calls, so that calls without results do not make it slow."""
    layout = ""
    for seq in range(1, 7):
        layout = group(message("a", [f"{seq}.{at}" for at in range(256)], []), seq, layout)[1]
    open_calls = layout.split(" ")[0].split(",")
    assert len(open_calls) == 1024
    assert open_calls[-1] == f"{call_hash('6.255')}:6"
