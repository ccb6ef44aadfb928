"""The counters, which are stored relative to each other: Lua and Python read the same, and write the words of the schema."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from redis_sessions._core.protocol.message_times import read_time, write_time
from redis_sessions._core.protocol.record_schema import SCHEMA
from redis_sessions._core.protocol.records import Counters
from tests.core.lua_functions import lua_function

PARSE, FORMAT, NEW, ENCODE_TIME = (
    lua_function(name) for name in ("parse_counters", "format_counters", "new_counters", "encode_time")
)
NUMBER = st.integers(0, 2**50)
COUNTERS = st.builds(
    lambda last_seq, dropped, user_seq, **others: Counters(
        last_seq=last_seq, dropped=min(dropped, last_seq), user_seq=min(user_seq, last_seq), **others
    ),
    pending_turn=st.integers(0, 1),
    **{name: NUMBER for name in Counters._fields if name != "pending_turn"},
)


@given(COUNTERS)
def test_lua_and_python_agree_on_counters(counters: Counters) -> None:
    """Both parse what both write, and the text has one word for each of the schema."""
    text = str(counters)
    assert Counters.parse(text.encode()) == counters
    found = PARSE(text)
    assert {name: found[name] for name in Counters._fields} == counters._asdict()
    assert FORMAT(found) == text
    assert len(text.split()) == len(SCHEMA["counters"].words)


def test_new_counters_are_zero() -> None:
    """A session that was just created has counted nothing."""
    counters = Counters.parse(NEW(1_763_700_000_000_001).encode())
    assert counters._replace(updated_us=0) == (0,) * len(Counters._fields)
    assert counters.updated_us == 1_763_700_000_000_001


@given(st.integers(0, 4_000_000_000_000), st.integers(0, 4_000_000_000_000))
def test_times_survive_and_keep_their_order(one: int, other: int) -> None:
    """Lua and Python write the same time, and the texts of two times compare as the times do."""
    assert ENCODE_TIME(one).encode() == write_time(one)
    assert read_time(write_time(one)) == one
    assert (write_time(one) < write_time(other)) == (one < other)
