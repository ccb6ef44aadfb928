"""Lines that an import refuses: cut files, damaged fields, and other formats and versions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import InvalidInput, Message, SessionCache
from redis_sessions._core.transfer.export_format import VERSION, WAITER_FIELDS
from redis_sessions._core.transfer.import_schema import Damaged, check_field
from tests.support.exports import X, create_full_session, stored_keys, with_checksum, with_fields

VERSION_1 = [
    '{"format":"redis-sessions","version":1,"root":"trip","exported_at":1795649003896}',
    '{"session":"trip","ttl":3599990,"fields":{"life":"3fc1dc907b96","status":"active",'
    '"counts":"1 1 0 1 0 0 1 67 3 1 1795649003883346","rules":"100 tool_safe 1048576 3600000 -",'
    '"created":"1795649003872267","max_tokens":"8192","max_inbox":"100","user":"mia",'
    '"ops.2":"\\nuST_p_hh.0 1 1 1 1 1 0 ok"}}',
    '{"session":"trip","messages":["1795649003883u@3 uST_p_hh.0 '
    '{\\"role\\":\\"user\\",\\"content\\":\\"Which gate?\\"}"]}',
    '{"end":{"sessions":1,"messages":1,"sha256":"e3613c7fb380e09f7b7e81f0c457523dc3c4a3b1926687ecf1cf5edcee36075a"}}',
]
"""An export of version 1, as an older package made it."""


@pytest.fixture
def unreachable() -> Iterator[SessionCache]:
    """Yield a cache without a server, on which an import fails with another error as soon as it sends a command."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        yield cache


def refusal(cache: SessionCache, lines: Any) -> str:
    """Return the message with which an import refuses lines."""
    with pytest.raises(InvalidInput) as refused:
        cache.import_sessions(lines)
    assert refused.value.name == "lines"
    return str(refused.value)


def test_cut_file_is_refused_at_every_line(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """A file that was cut, or that has a changed, doubled or missing line, is refused with the line and writes nothing."""
    lines = list(create_full_session(cache).export())
    for kept in range(len(lines)):
        with pytest.raises(InvalidInput, match=f"line {kept + 1} "):
            other.import_sessions(lines[:kept])
    with pytest.raises(InvalidInput, match="line 2 "):
        other.import_sessions([lines[0], lines[1][:-20]])
    for at in range(1, len(lines) - 1):
        changed = lines[at].replace("q", "p").replace('"ttl":', '"ttl":1')
        for replacement in ([changed], [lines[at]] * 2, []):
            if replacement != [lines[at]]:
                with pytest.raises(InvalidInput, match=r"lines: line \d+ "):
                    other.import_sessions([*lines[:at], *replacement, *lines[at + 1 :]])
    with pytest.raises(InvalidInput, match="after the end"):
        other.import_sessions([*lines, lines[1]])
    assert stored_keys(client, other.namespace) == []


@pytest.mark.parametrize(
    ("at", "fields", "reason"),
    [
        (1, {"incarnation": None}, "'incarnation'"),
        (1, {"status": "asleep"}, "'status'"),
        (1, {"counters": "1 2"}, "'counters'"),
        (1, {"counters": "99 99 0 0 0 0 0 0 0 5 0 0 0"}, "counters say 99"),
        (1, {"settings": "1 2 3"}, "'settings'"),
        (1, {"layout": "- 0 - 0 0"}, "damaged"),
        (1, {"layout": "- 0 - x 0 -"}, "damaged"),
        (1, {"layout": "- 0 - 0 0 4"}, "damaged"),
        (1, {"layout": "- 0 - 1 0 -"}, "kept messages"),
        (1, {"layout": "- 0 - 1 0 -", "kept_seqs": "1"}, "kept messages"),
        (1, {"kept_seqs": "1,,2"}, "damaged"),
        (1, {"created": {"base64": "//8="}}, "'created'"),
        (1, {"var.x": 7}, "not text"),
        (1, {"var.x": "\ud800"}, "not text"),
        (1, {"var.x": {"base64": "?"}}, "not text"),
        (1, {"lease": "7 n 99 9 0 - me"}, "lease"),
        (1, {"lease_waiters": "x"}, "wait"),
        (1, {"join_waiters": "x"}, "wait"),
        (1, {"subscribers": "x"}, "wait"),
        (3, {"lineage": None}, "not below"),
        (3, {"lineage": "1 000000000000 /0/1/ other root"}, "lineage"),
        (3, {"run": "x"}, "'run'"),
        (1, {"tags": "5"}, "tags"),
        (1, {"tags": '[["a"]]'}, "tags"),
        (1, {"tags": json.dumps([str(n) for n in range(65)])}, "tags"),
        (1, {"user": "a b}c{"}, "user_id"),
        (1, {"kind": "zzz"}, "kind"),
        (1, {"lineage": ""}, "damaged"),
        (1, {"finished": "never"}, "damaged"),
    ],
)
def test_damaged_field_is_refused_before_anything_is_sent(
    unreachable: SessionCache, at: int, fields: dict[str, Any], reason: str
) -> None:
    """A session with a damaged field is refused with its line and the reason."""
    with SessionCache.from_url("fake://") as cache:
        root = cache.create("root")
        root.append(X)
        root.spawn("a").raise_if_refused()
        lines = list(root.export())
    message = refusal(unreachable, with_fields(lines, at, **fields))
    assert message.startswith("lines: line ")
    assert reason in message


def test_line_out_of_place_is_refused_before_anything_is_sent(unreachable: SessionCache) -> None:
    """A line of another format, session or slot, or with damaged messages, is refused with its number and the reason."""
    with SessionCache.from_url("fake://") as cache:
        root = cache.create("root")
        root.append(X, Message("assistant", "y"))
        incarnation = root.info().incarnation
        head, session, messages, end = root.export()
    elsewhere = session.replace('"root"', '"elsewhere"', 1)
    for lines, reason in (
        ([], "line 1 is missing: an export begins with a header"),
        ([""], "line 1 is not JSON"),
        (["[]"], "line 1 must be the header"),
        ([session], "line 1 must be the header"),
        ([head.replace('"root":"root"', '"root":"a b"')], "line 1 an ID"),
        ([head, messages], "line 2 has messages of another session"),
        ([head, head], "line 2 must be a session, messages, a ledger, parts, a file, or the end"),
        ([head, "[" * 100_000], "line 2 is not JSON"),
        (["\ud800"], "line 1 is not JSON"),
        ([7], "line 1 is not JSON"),
        ([head, elsewhere], "line 2 session 'elsewhere' comes before the root"),
        ([head, session, elsewhere], "has 0 messages, and its counters say 2"),
        ([head, session, messages, elsewhere], "has another slot"),
        ([head, session, session.replace(incarnation, "0" * 12)], "two incarnations"),
        ([head, session, messages.replace('["', '[" ', 1)], "line 3 the header of a message"),
        ([head, session, messages.replace("u@", "z@", 1)], "line 3 the header of a message"),
        ([head, session, messages.replace("u@", "uP", 1)], "line 3 the header of a message"),
        ([head, session, messages.replace("u@", "uB", 1)], "line 3 the header of a message"),
        ([head, session, '{"session":"root","messages":[]}'], "line 3 has no messages"),
        ([head, '{"end":{}}'], "checksum"),
        (with_checksum([head, end]), "states (1, 2) sessions and messages"),
    ):
        assert reason in refusal(unreachable, lines)


def test_version_1_export_is_refused_at_its_header(unreachable: SessionCache) -> None:
    """An export of version 1 is refused at its first line, and the error names both versions."""
    expected = f"lines: line 1 has version 1, and this package reads version {VERSION}"
    assert refusal(unreachable, VERSION_1) == expected
    assert refusal(unreachable, VERSION_1[:1]) == expected


def test_version_1_session_under_header_of_this_version_is_refused(unreachable: SessionCache) -> None:
    """The fields of version 1 are refused under a header of this version, because their names and meaning differ."""
    lines = with_checksum([VERSION_1[0].replace('"version":1', f'"version":{VERSION}'), *VERSION_1[1:]])
    expected = "lines: line 2 field 'incarnation' of session 'trip' is missing or damaged"
    assert refusal(unreachable, lines) == expected


@pytest.mark.parametrize("version", [0, VERSION - 1, VERSION + 1, str(VERSION), None, [VERSION]])
def test_other_version_is_refused_at_its_header(unreachable: SessionCache, version: Any) -> None:
    """A header of another version is refused, and the error names the version that was found."""
    with SessionCache.from_url("fake://") as cache:
        lines = list(cache.create("root").export())
    header = {**json.loads(lines[0]), "version": version}
    expected = f"lines: line 1 has version {version!r}, and this package reads version {VERSION}"
    assert refusal(unreachable, with_checksum([json.dumps(header), *lines[1:]])) == expected


def test_every_field_of_the_storage_reference_is_known_to_imports() -> None:
    """An import knows every field of a session's hash that the storage reference lists, but what exports leave out."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "storage.md").read_text(encoding="utf-8")
    table = page.partition("## The session's hash")[2].partition("The root of a tree has")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall("`([^`]+)`", row) if name.encode() not in WAITER_FIELDS]
    names = [name for name in names if not name.startswith("outbox")]
    assert len(names) > 70
    for name in names:
        with pytest.raises(Damaged) as refused:
            check_field("a", re.sub("<[a-z]+>", "1", name), b"\xff\n")
            raise Damaged("every value is valid")
        assert "is not known" not in str(refused.value)
        assert "not valid" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "is_valid"),
    [
        ("name", True), ("state.a", True), ("meta.a", True), ("var.a", True), ("result", True), ("reason", True),
        ("origins", True), ("tags", False), ("user", False), ("counters", False), ("usage", False), ("config.l", False),
        ("spawned_by", False),
    ],
)  # fmt: skip
def test_encoded_value_is_taken_only_where_one_can_be(field: str, is_valid: bool) -> None:
    """An encoded value is a value of the fields that a cache encodes, and damage elsewhere."""
    value = b"\1za 0 \xff\x00"
    if is_valid:
        check_field("s", field, value)
    else:
        with pytest.raises(Damaged):
            check_field("s", field, value)
