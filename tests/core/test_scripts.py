"""The loader: scripts, their bindings, their includes."""

from __future__ import annotations

import re

import pytest

from redis_sessions._core.scripts import folder, names, script
from redis_sessions.errors import BY_CODE


@pytest.mark.parametrize("name", names())
def test_a_script_says_what_it_does_and_binds_its_names(name: str) -> None:
    """Two comment lines at least, contiguous bindings, and a body that names no position."""
    found = script(name)
    body = (folder() / f"{name}.lua").read_text()
    assert body.startswith("-- ")
    assert found.keys or found.rest_keys
    rest = [line for line in body.splitlines() if not re.match(r"local \w+ +=.*(KEYS|ARGV)", line)]
    assert not [line for line in rest if re.search(r"\b(KEYS|ARGV)\b", line)]


# Words that an included function knows but that the script never lets out: it always has a lease, looked at the sizes
# before, leaves the inbox as it is, or answers with a verdict.
WRITING = {"NOT_FOUND", "REPLACED", "NOT_ACTIVE", "LOCKED", "LEASE_LOST", "TOO_LARGE", "LIMIT"}
NEVER = {
    "leases/renew": {"LOCKED", "NOT_ACTIVE"},
    "leases/release": {"LOCKED", "TOO_LARGE", "LIMIT", "NOT_ACTIVE"},
    "messages/receive": {"LOCKED", "TOO_LARGE"},
    "messages/send": {"LOCKED"},
    "runs/claim": WRITING,
    "sessions/delete": WRITING - {"REPLACED", "LEASE_LOST"},
    "sessions/status": {"LIMIT"},
    "sessions/touch": {"NOT_ACTIVE"},
    "trees/sweep": WRITING,
    "trees/labelled": {"REPLACED"},
    "trees/members": {"NOT_ACTIVE"},
    "trees/request": {"NOT_ACTIVE"},
    "trees/spawn": {"NOT_ACTIVE"},
}


@pytest.mark.parametrize("name", names())
def test_a_script_declares_the_errors_it_returns(name: str) -> None:
    """Every error word that its source can return is in its header, and has a class."""
    found = script(name)
    words = set(re.findall(r"error_reply\((?:string\.format\()?'([A-Z_]+)", found.source)) - NEVER.get(name, set())
    assert words <= set(found.errors), words - set(found.errors)
    assert set(found.errors) - {"CHAIN"} <= set(
        BY_CODE
    )  # which asks for names of keys, and is never an error of a caller's


def test_no_script_uses_what_an_old_server_lacks() -> None:
    """Redis 6.2 to 8, Valkey and fakeredis: no shebang, no cmsgpack, struct, bit, sha1hex."""
    for name in names():
        assert not re.search(r"#!lua|cmsgpack|struct\.|bit\.|sha1hex|redis\.breakpoint|cjson", script(name).source)
