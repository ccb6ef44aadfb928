"""The layout of a transcript, and the places of messages in a list with gaps: Lua and Python agree with a plain model."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions._core.protocol.record_schema import SCHEMA
from redis_sessions._core.protocol.records import Layout, parse_gaps, seqs_from
from tests.core.lua_functions import lua_function

PARSE, FORMAT = lua_function("parse_layout"), lua_function("format_layout")
LIST_INDEX, LIST_SEQ = lua_function("list_index"), lua_function("list_seq")
GAPS_WITH, GAPS_BEHIND = lua_function("gaps_with"), lua_function("gaps_behind")
TEXTS = [
    "- 0 - 2 3 -",
    "- 0 - 0 0 4-6,10-10",
    "- 7 b 0 0 -",
    "- 7 rp 0 0 -",
    "da39a3ee:8 7 - 0 0 -",
    "da39a3ee:8,d2d32a15:90000000000000 7 bp 2 2 4-6,9-80000000000000",
]
SEQS = st.sets(st.integers(1, 40), min_size=1).map(sorted)
"""The seqs of the messages in a list."""


def layout_values(text: str) -> dict[str, Any]:
    """Return what Lua reads in a layout, as Python values."""
    found = dict(PARSE(text).items())
    found["open"] = [list(call.values()) for call in found["open"].values()]
    return found


def gaps_of(seqs: list[int], last_seq: int | None = None) -> str:
    """Return the gaps between seqs, and behind the last one up to the highest seq."""
    pairs = [*pairwise(seqs), (seqs[-1], (last_seq or seqs[-1]) + 1)]
    return ",".join(f"{low + 1}-{high - 1}" for low, high in pairs if high - low > 1)


@pytest.mark.parametrize("text", TEXTS)
def test_layout_survives_a_round_trip(text: str) -> None:
    """A layout that Lua parsed is formatted to the same text, and Python reads the same words."""
    assert FORMAT(PARSE(text)) == text
    found, values = Layout.parse(text.encode()), layout_values(text)
    assert (found.group, found.task, found.kept) == (values["group"], values["task"], values["kept"])
    assert found.gaps == parse_gaps(values["gaps"])
    assert list(found._fields) == [word.name for word in SCHEMA["layout"].words]


def test_words_of_layout_are_read_by_name() -> None:
    """The Lua parser returns the open calls with their seqs, the marks, and the seqs as numbers."""
    assert layout_values(TEXTS[5]) == {
        "open": [["da39a3ee", 8], ["d2d32a15", 90_000_000_000_000]],
        "group": 7,
        "binds_next": "b",
        "is_pinned": True,
        "kept": 2,
        "task": 2,
        "gaps": "4-6,9-80000000000000",
    }


def test_plain_list_has_no_layout() -> None:
    """A list of complete messages without gaps stores no layout, and a group that is complete is forgotten."""
    assert FORMAT(PARSE(None)) is None
    assert Layout.parse(None) == Layout("-", 0, "-", 0, 0, [])
    layout = PARSE("da39a3ee:8 7 p 0 0 -")
    layout["open"] = PARSE(None)["open"]
    assert FORMAT(layout) is None


@pytest.mark.parametrize("text", [b"- 0 - 0 0", b"- x - 0 0 -", b"- 0 - 0 0 4", b"- 0 - a 0 -", b"- 0 - 0 0 4-x"])
def test_damaged_layout_is_refused(text: bytes) -> None:
    """Python raises ValueError for a layout with a missing word or a word of another type."""
    with pytest.raises(ValueError):  # noqa: PT011 - the caller turns it into an error of its own
        Layout.parse(text)


@given(SEQS, st.integers(0, 3))
def test_seq_and_index_agree_in_a_list_with_gaps(seqs: list[int], removed: int) -> None:
    """Each seq has the index of its message, and any other seq has the index of the next message."""
    last_seq = seqs[-1] + removed
    dropped, gaps = last_seq - len(seqs), gaps_of(seqs, last_seq)
    for index, seq in enumerate(seqs):
        assert LIST_SEQ(index, dropped, gaps) == seq
    for seq in range(seqs[0], last_seq + 2):
        assert LIST_INDEX(seq, dropped, gaps) == len([one for one in seqs if one < seq])
    for seq in range(1, seqs[0]):
        assert LIST_INDEX(seq, dropped, gaps) == seq - seqs[0]


@given(SEQS, st.integers(0, 39))
def test_seqs_follow_each_other_over_gaps(seqs: list[int], start: int) -> None:
    """Python numbers the messages of a page from its first seq on, whatever gaps precede the page."""
    start %= len(seqs)
    for count in range(1, len(seqs) - start + 1):
        assert seqs_from(seqs[start], count, parse_gaps(gaps_of(seqs))) == seqs[start : start + count]


@given(SEQS, st.integers(0, 39), st.integers(0, 3))
def test_removed_tail_and_head_change_gaps(seqs: list[int], at: int, removed: int) -> None:
    """A removed tail joins the gap before it, and the gaps before the head of the list are forgotten."""
    at, last_seq = at % len(seqs), seqs[-1] + removed
    gaps = gaps_of(seqs, last_seq)
    if last_seq > seqs[at]:
        assert GAPS_WITH(gaps, seqs[at] + 1, last_seq) == gaps_of(seqs[: at + 1], last_seq)
    found = GAPS_BEHIND(seqs[at], gaps)
    assert found.rstrip(",") == gaps_of(seqs[at:], last_seq)
    assert found == found.rstrip(",") or found == ""


def test_gaps_are_ascending_and_apart() -> None:
    """Gaps that touch each other are one gap."""
    gaps = ""
    for first, last in ((5, 7), (12, 13), (14, 14), (10, 20), (3, 30)):
        gaps = GAPS_WITH(gaps, first, last)
        found = parse_gaps(gaps)
        assert all(high + 1 < low for (_, high), (low, _) in pairwise(found))
    assert gaps == "3-30"
