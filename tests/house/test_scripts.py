"""The rules of lua/README.md that a machine can check."""

from __future__ import annotations

import re

import pytest

from redis_sessions._core.protocol.linker import folder, library
from redis_sessions._core.protocol.scripts import (
    CREATING_SCRIPTS,
    creating,
    linked,
    linked_creating,
    names,
    script,
)
from redis_sessions.errors import BY_REFUSAL
from tests.support.layers import PACKAGE
from tests.support.lua_scope import ALLOWED_GLOBALS, globals_of

MAX_TOTAL_BYTES = 514_000
"""All scripts as they are sent. It was 325,000 before turns, parking and fair queues, 388,000 before shared values, parts and
checkpoints, and 512,000 before waiting workers heard of later work and a first write tried the rights of its user."""
MAX_CREATING_BYTES = 156_500
"""The variants of writes that create their session. A server holds those that were used."""
PROTOCOL_REQUESTS = {"NEED_ANCESTORS", "NEED_QUEUE", "NEED_COPY", "NEED_PLAN", "NEED_REPEAT"}
"""Refusals that ask the client for more keys. No caller sees them."""
WRITE_REFUSALS = {
    "SESSION_NOT_FOUND",
    "SESSION_REPLACED",
    "SESSION_NOT_ACTIVE",
    "SESSION_LOCKED",
    "LEASE_LOST",
    "MESSAGE_TOO_LARGE",
    "LIMIT_EXCEEDED",
    "REVISION_CONFLICT",
    "SESSION_REGRESSED",
}
UNREACHABLE = {
    "inbox/drain": {"NEED_REPEAT", "SESSION_LOCKED", "MESSAGE_TOO_LARGE", "REVISION_CONFLICT", "SESSION_REGRESSED"},
    "inbox/send": {"SESSION_LOCKED", "REVISION_CONFLICT", "SESSION_REGRESSED"},
    "leases/release": {
        "SESSION_LOCKED",
        "MESSAGE_TOO_LARGE",
        "LIMIT_EXCEEDED",
        "SESSION_NOT_ACTIVE",
        "REVISION_CONFLICT",
        "SESSION_REGRESSED",
    },
    "leases/renew": {"SESSION_LOCKED", "SESSION_NOT_ACTIVE"},
    "runs/advance": {"SESSION_LOCKED", "SESSION_REPLACED", "REVISION_CONFLICT", "SESSION_REGRESSED"},
    "runs/claim": WRITE_REFUSALS,
    "sessions/delete": WRITE_REFUSALS - {"SESSION_REPLACED", "LEASE_LOST", "REVISION_CONFLICT"},
    "sessions/set_status": {"LIMIT_EXCEEDED", "REVISION_CONFLICT", "SESSION_REGRESSED"},
    "sessions/touch": {"SESSION_NOT_ACTIVE"},
    "trees/finalize_members": {"NEED_REPEAT", *WRITE_REFUSALS},
    "trees/find_by_label": {"SESSION_REPLACED"},
    "trees/list_members": {"SESSION_NOT_ACTIVE"},
    "trees/read_cancel": {"SESSION_NOT_ACTIVE"},
    "trees/request_cancel": {"SESSION_NOT_ACTIVE"},
    "trees/spawn": {"SESSION_NOT_ACTIVE", "NEED_PLAN"},
}
"""Refusals that an included function contains, and that the script excludes by its arguments or answers with a verdict."""


def code_of(text: str) -> str:
    """Return a Lua source without its comments, include lines and strings."""
    return re.sub(r"--[^\n]*|'(?:\\.|[^'\\\n])*'", " ", text)


@pytest.mark.parametrize("name", names())
def test_script_has_header_and_binds_its_keys_and_arguments(name: str) -> None:
    """A script begins with a description, states its effect on the indexes, and names each key and argument once."""
    found = script(name)
    body = (folder() / f"{name}.lua").read_text(encoding="utf-8")
    assert re.match(r"-- [A-Z]\w+ ", body)
    assert re.search(r"^-- Index: (none|touches|may_end|may_relist)\b", body, re.MULTILINE)
    assert found.keys or found.rest_keys
    rest = [line for line in body.splitlines() if not re.match(r"local \w+ +=.*(KEYS|ARGV)", line)]
    assert not [line for line in rest if re.search(r"\b(KEYS|ARGV)\b", line)]


@pytest.mark.parametrize("name", names())
def test_script_declares_exactly_the_refusals_that_it_can_return(name: str) -> None:
    """A refusal of the source is in the header, and a refusal of the header has a class."""
    declared = set(script(name).errors)
    returned = set(re.findall(r"error_reply\((?:string\.format\()?'([A-Z_]+)", linked(name)))
    assert returned - UNREACHABLE.get(name, set()) <= declared
    assert declared <= returned
    assert declared - PROTOCOL_REQUESTS <= set(BY_REFUSAL)


@pytest.mark.parametrize("name", names())
def test_refusal_has_a_word_and_a_fact(name: str) -> None:
    """A refusal of a single word would reach the client as 'ERR <word>', because newer servers take it for a message."""
    assert not re.findall(r"error_reply\('[^' ]*'\)", linked(name))


@pytest.mark.parametrize("name", names())
def test_script_uses_no_undeclared_global(name: str) -> None:
    """A misspelt name would be nil without an error."""
    found = globals_of(script(name).source)
    assert found.written == set()
    assert found.read <= ALLOWED_GLOBALS


@pytest.mark.parametrize("name", CREATING_SCRIPTS)
def test_creating_variant_has_the_keys_of_a_session_and_no_undeclared_global(name: str) -> None:
    """The first two keys of a write that can create its session are the session and its messages."""
    assert script(name).keys[:2] == ("session", "messages")
    found = globals_of(creating(name).source)
    assert found.written == set()
    assert found.read <= ALLOWED_GLOBALS


@pytest.mark.parametrize("name", names())
def test_script_defines_each_function_once(name: str) -> None:
    """A library function is placed in one block that contains all its uses."""
    defined = re.findall(r"local function (\w+)", linked(name))
    assert sorted(defined) == sorted(set(defined))


@pytest.mark.parametrize(
    "path", sorted(folder().rglob("*.lua")), ids=lambda path: path.relative_to(folder()).as_posix()
)
def test_include_lines_name_exactly_the_functions_in_use(path: object) -> None:
    """A file includes what it uses, and nothing else."""
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    included = {name for line in re.findall(r"--- include:(.*)", text) for name in line.split()}
    code = code_of(text)
    own = set(re.findall(r"local function (\w+)", code))
    called = {name for name in re.findall(r"(?<![.\w])(\w+)\(", code) if name in library()} - own
    named = {name for name in re.findall(r"(?<![.\w])\w+", code) if name in library()}
    assert called <= included
    assert included <= named


def test_library_files_hold_functions_only() -> None:
    """A library file has no code outside its functions, and each function has a name of its own."""
    seen: set[str] = set()
    for path in sorted((folder() / "lib").rglob("*.lua")):
        text = path.read_text(encoding="utf-8")
        outside = re.sub(r"^local function .*?^end$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert not [line for line in outside.splitlines() if line.strip() and not line.startswith("--")], path
        own = set(re.findall(r"^local function (\w+)", text, re.MULTILINE))
        assert not own & seen, path
        seen |= own


def test_every_library_function_is_used() -> None:
    """A function that no script reaches is removed."""
    everything = "\n".join([*map(linked, names()), *map(linked_creating, CREATING_SCRIPTS)])
    for function in library():
        assert f"local function {function}(" in everything, function


def test_every_script_has_one_builder() -> None:
    """One function of `_core/commands`, or of `_core/transfer`, makes the calls of a script."""
    paths = [path for folder in ("commands", "transfer") for path in (PACKAGE / "_core" / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    for name in names():
        assert len(re.findall(rf'"{name}"', text)) == 1, name


def test_scripts_stay_small() -> None:
    """A server keeps the source of every script that it loaded."""
    assert sum(len(script(name).source.encode()) for name in names()) <= MAX_TOTAL_BYTES
    assert sum(len(creating(name).source.encode()) for name in CREATING_SCRIPTS) <= MAX_CREATING_BYTES


def test_scripts_use_only_functions_that_every_engine_has() -> None:
    """Redis 6.2 to 8, Valkey and fakeredis differ in libraries for binary data and JSON."""
    for name in names():
        assert not re.search(r"#!lua|cmsgpack|struct\.|bit\.|sha1hex|redis\.breakpoint|cjson", script(name).source), (
            name
        )


def test_minified_script_keeps_line_numbers() -> None:
    """An error position of the server is a line of the linked source."""
    for name in names():
        assert script(name).source.count("\n") == linked(name).count("\n"), name
