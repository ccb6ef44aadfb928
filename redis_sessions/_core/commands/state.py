"""Calls on a session's variables (text) and its state (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha1
from typing import Any

from ..._arguments import mapping
from ..._durations import whole
from ...bounds import StorageBounds
from ..protocol.call import Argument, Call, invoke
from ..protocol.chain import MARK
from ..protocol.encoding import decoded_field, encoded_fields
from ..protocol.ids import operation_id_of
from ..protocol.json_values import from_json, to_json
from ..protocol.keys import SessionKeys
from ..protocol.scripts import script
from .guarded_write import check_incarnation, guarded_write, new_rev, result_number
from .recorded_results import words_of
from .session_fields import state_field
from .storage_bounds import bounds_argument, check_fields, check_number

_MAX_SCRIPT_BYTES = 8192
"""Bytes of wanted values that a script compares, as check_state.lua has it."""


def get(keys: SessionKeys, incarnation: str, prefix: str, name: str) -> Call[bytes | None]:
    """Read one stored value, or None."""

    def read(reply: list[bytes | None]) -> bytes | None:
        check_incarnation(keys, reply[0], incarnation)
        return None if reply[1] is None else decoded_field(keys, prefix + name, reply[1])

    return Call(("HMGET", keys.session, "incarnation", state_field(prefix, name)), keys, read, writes=False)


def get_all(keys: SessionKeys, incarnation: str, prefix: str) -> Call[dict[str, bytes]]:
    """Read all stored values by name."""

    def read(reply: list[bytes]) -> dict[str, bytes]:
        named = zip([name.decode() for name in reply[1::2]], reply[2::2], strict=True)
        return {name: decoded_field(keys, prefix + name, value) for name, value in named}

    return invoke(script("state/read"), keys, read, incarnation=incarnation, prefix=prefix, writes=False)


def patch(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    sets: Mapping[str, Argument],
    removed: Sequence[str],
    bounds: StorageBounds,
    *,
    expected_rev: int | None,
) -> Call[tuple[int, int]]:
    """Set and remove values. The result is the new revision, and how many of the removed were there. Raises InvalidInput."""
    check_fields(bounds, sets)
    call = guarded_write(
        script("state/patch"),
        keys,
        incarnation,
        lease,
        expected_rev,
        lambda reply: (new_rev(reply), result_number(reply)),
        set_count=len(sets),
        bounds=bounds_argument(bounds),
        rest=[*[part for pair in encoded_fields(keys, sets).items() for part in pair], *removed],
    )
    call.stores = bool(sets)
    return call


def clear(keys: SessionKeys, incarnation: str, lease: str, prefix: str, expected_rev: int | None) -> Call[int]:
    """Remove all values. The result is how many there were."""
    return guarded_write(script("state/clear"), keys, incarnation, lease, expected_rev, result_number, prefix=prefix)


def add(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    name: str,
    amount: int,
    batch_id: str | None,
    expected_rev: int | None,
    bounds: StorageBounds,
) -> Call[int]:
    """Add to a whole number. The result is the sum."""
    operation, field = operation_id_of(batch_id), state_field("state.", name)
    kind = f"add:{sha1(name.encode(), usedforsecurity=False).hexdigest()[:8]}"
    return guarded_write(
        script("state/add"),
        keys,
        incarnation,
        lease,
        expected_rev,
        lambda reply: int(words_of(reply[1], kind, operation)[1]),
        batch=operation,
        operation=operation,
        kind=kind,
        field=field,
        amount=whole(amount, "amount", minimum=-(2**53)),
        bounds=bounds_argument(bounds),
    )


def wanted_values(if_state: Mapping[str, Any] | None, bounds: StorageBounds) -> dict[str, str]:
    """Return the JSON that the state must have by name, '' for a name that it must not have. Raises InvalidInput."""
    given = {} if if_state is None else mapping(if_state, "if_state")
    check_number(bounds, "values", len(given), "if_state")
    wanted = {
        name: "" if value is None else to_json(value, f"if_state.{state_field('', name)}")
        for name, value in given.items()
    }
    check_number(bounds, "state_bytes", sum(len(text.encode()) for text in wanted.values()), "if_state")
    return wanted


def are_large(wanted: Mapping[str, str]) -> bool:
    """Return whether wanted values are so large that the client must compare them, because a script would block its server."""
    return sum(len(text.encode()) for text in wanted.values()) > _MAX_SCRIPT_BYTES


def state_checks(keys: SessionKeys, wanted: Mapping[str, str], stored: Mapping[str, bytes]) -> dict[str, str | bytes]:
    """Return the fields of the wanted values, with what each must be: the value as it was read, if it is the wanted one."""
    return {
        state_field("state.", name): _state_check(keys, name, value, stored.get(name)) for name, value in wanted.items()
    }


def _state_check(keys: SessionKeys, name: str, wanted: str, stored: bytes | None) -> str | bytes:
    if not wanted:
        return wanted
    other = wanted if keys.chain is None else MARK  # the server must not see a plain value, and stores no such value
    if stored is None:
        return other
    found = decoded_field(keys, f"state.{name}", stored)
    try:
        return stored if _ordered(found) == _ordered(wanted) else other
    except (ValueError, RecursionError):  # what is damaged is not equal
        return other


def _ordered(text: bytes | str) -> str:
    return json.dumps(from_json(text), sort_keys=True, ensure_ascii=False)


def stored_state(keys: SessionKeys, names: Sequence[str]) -> Call[dict[str, bytes]]:
    """Read values of the state as they are stored, by name."""

    def read(reply: list[bytes | None]) -> dict[str, bytes]:
        return {name: value for name, value in zip(names, reply, strict=True) if value is not None}

    return Call(("HMGET", keys.session, *[state_field("state.", name) for name in names]), keys, read, writes=False)
