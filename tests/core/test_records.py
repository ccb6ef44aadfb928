"""The packed records: Lua, Python and the schema agree on the words, their order and their types."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import SessionInfo
from redis_sessions._core.protocol import records
from redis_sessions._core.protocol.keys import SCHEMA_VERSION
from redis_sessions._core.protocol.linker import library
from redis_sessions._core.protocol.record_schema import SCHEMA, Word
from redis_sessions._core.transfer.export_format import VERSION
from tests.core.lua_functions import lua_function
from tests.support.prose import ROOT

PYTHON: dict[str, Any] = {
    "settings": records.Settings,
    "limits": records.Limits,
    "lease": records.LeaseRecord,
    "waiter": records.Waiter,
    "lineage": records.Lineage,
    "run": records.RunRecord,
    "spawn_counts": records.SpawnCounts,
    "member": records.MemberRecord,
    "loop": records.LoopRecord,
    "part": records.PartRecord,
    "part_totals": records.PartTotals,
    "budget": records.Budget,
    "spent": records.Spent,
    "status_log": records.StatusChange,
}
"""The class that reads each record. Those without one are read by scripts only. The layout and the
counters are not read word by word: test_layout.py and test_counters.py test them."""
OF_TEXT = ("member", "loop", "status_log")
"""The records that are read as text, because they come in replies as parts of a line."""
LUA = sorted(name for name in SCHEMA if f"parse_{name}" in library() and name not in ("layout", "counters"))
SAMPLES = {"counts_receivers": "1", "on_parent_end": "c", "has_died": "1"}


def sample(word: Word, number: int) -> str:
    """Return a value of a word that differs from the values of the other words."""
    if word.name in SAMPLES:
        return SAMPLES[word.name]
    return f"text{number}" if word.type == "text" else str(number)


def sample_record(name: str) -> tuple[str, dict[str, str]]:
    """Return a record and its words by name."""
    values = {word.name: sample(word, 1000 + at) for at, word in enumerate(SCHEMA[name].words)}
    ending = "\n" if name == "waiter" else ""
    return " ".join(values.values()) + ending, values


def test_schema_has_version_of_its_words() -> None:
    """A change of the words raises both versions: then enter the new digest and the new versions here."""
    words = repr([(name, record.field, [word[:2] for word in record.words]) for name, record in SCHEMA.items()])
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    assert (digest, SCHEMA_VERSION, VERSION) == ("5541016110768ce2", "7", 7)
    page = (ROOT / "docs" / "reference" / "storage.md").read_text(encoding="utf-8")
    assert f"**schema version `{SCHEMA_VERSION}`**" in page


def test_every_counter_is_public_or_internal() -> None:
    """A counter that no field of SessionInfo shows is named here."""
    internal = {"dropped", "pending_turn", "bytes", "tokens", "operations", "updated_us", "user_seq", "plain_after"}
    shown = {*SessionInfo.model_fields, *(name for name in dir(SessionInfo) if not name.startswith("_"))}
    assert {*records.Counters._fields} - shown <= internal


def test_lua_reads_all_records_that_scripts_write() -> None:
    """The records without a Lua pair are those that a script copies or adds up as a whole."""
    assert set(SCHEMA) - set(LUA) - {"layout", "counters"} <= {"usage", "tree_limits", "budget", "spent", "status_log"}


@pytest.mark.parametrize("name", LUA)
def test_lua_record_has_the_words_of_the_schema(name: str) -> None:
    """The Lua parser returns every word under its name and with its type."""
    text, values = sample_record(name)
    found = lua_function(f"parse_{name}")(*((text, 1) if name == "waiter" else (text,)))
    found = dict((found[0] if isinstance(found, tuple) else found).items())
    for word in SCHEMA[name].words:
        expected = int(values[word.name]) if word.type.startswith("number") else values[word.name]
        assert found[word.name] == expected, word


@pytest.mark.parametrize("name", [name for name in LUA if f"format_{name}" in library()])
def test_lua_record_survives_a_round_trip(name: str) -> None:
    """Formatting what was parsed gives the same text."""
    text, _ = sample_record(name)
    found = lua_function(f"parse_{name}")(*((text, 1) if name == "waiter" else (text,)))
    assert lua_function(f"format_{name}")(found[0] if isinstance(found, tuple) else found) == text


def read(name: str, text: str) -> Any:
    """Return what Python reads in a record."""
    if name == "waiter":
        return records.Waiter.parse_all(text.encode())[0]
    return PYTHON[name].parse(text if name in OF_TEXT else text.encode())


@pytest.mark.parametrize("name", list(PYTHON))
def test_python_record_has_the_words_of_the_schema(name: str) -> None:
    """The Python class has the same words in the same order, and reads each at its place."""
    text, values = sample_record(name)
    assert list(PYTHON[name]._fields) == [word.name for word in SCHEMA[name].words]
    found = read(name, text)
    for word in SCHEMA[name].words:
        text = values[word.name]
        accepted = (text, [text]) if word.type == "text" else (text, int(text))
        assert getattr(found, word.name) in accepted, word


SEPARATORS = "a\u2028\u2029\x85\x1c\x1d\x1e\x0b\x0c\r\t\xa0\u3000"
"""Characters at which `splitlines` or `split` would cut, and that no script cuts at."""


@pytest.mark.parametrize("name", list(PYTHON))
@given(given_text=st.text(SEPARATORS, min_size=1))
def test_text_of_a_record_is_cut_at_its_separators_only(name: str, given_text: str) -> None:
    """A text with any Unicode separator is read as it was written, in each record."""
    _, values = sample_record(name)
    texts = {word.name: word.type == "text" and word.name not in SAMPLES for word in SCHEMA[name].words}
    words = [given_text if texts[key] else value for key, value in values.items()]
    found = read(name, " ".join(words) + ("\n" if name == "waiter" else ""))
    for key, is_text in texts.items():
        assert not is_text or getattr(found, key) in (given_text, [given_text]), key


@given(st.lists(st.text(SEPARATORS)))
def test_lines_end_at_newlines_only(lines: list[str]) -> None:
    """The lines of a field are read as they were written."""
    text = "".join(f"{line}\n" for line in lines)
    assert records.lines_of(text.encode()) == lines
    with pytest.raises(ValueError, match="cut"):
        records.lines_of(f"{text}a".encode())
