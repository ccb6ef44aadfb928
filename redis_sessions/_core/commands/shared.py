"""Calls on shared scopes: JSON values by name that many sessions share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha1
from typing import Any, NamedTuple

from ..._arguments import check_no_contradiction, mapping, texts
from ..._durations import whole
from ...bounds import StorageBounds
from ...errors import InvalidInput, InvalidState
from ..protocol.call import Argument, Call, invoke
from ..protocol.chain import Chain
from ..protocol.encoding import decoded_shared, encoded_shared
from ..protocol.ids import check_id, operation_id_of
from ..protocol.json_values import from_json, to_json
from ..protocol.scripts import script
from ..protocol.shared_keys import ScopeIndexKeys, SharedKeys
from .recorded_results import words_of
from .storage_bounds import check_number

MAX_PAGE_NAMES = 1000
REGISTERED_SECONDS = 3600.0
"""The time for which a process relies on its registration of a scope."""
_GRACE_MS = round(2 * REGISTERED_SECONDS * 1000)  # longer than a process writes without registering again
_LAST_CHARACTER = "\U0010ffff"


class ScopeChange(NamedTuple):
    """A change of one scope: the values to set, as they are stored, and the names to remove."""

    scope: str
    sets: dict[str, bytes]
    removed: list[str]


def check_name(name: str) -> str:
    """Return the name of a value. Raises InvalidInput."""
    if not isinstance(name, str) or not 1 <= len(name) <= 256 or not name.isprintable():
        raise InvalidInput(name="name", detail=f"must be 1 to 256 printable characters, got {name!r}")
    return name


def checked_scopes(scopes: Sequence[str]) -> list[str]:
    """Return the names of scopes as a list, each once. Raises InvalidInput."""
    if isinstance(scopes, str) or not isinstance(scopes, Sequence):
        raise InvalidInput(name="shared", detail=f"must be a list of scopes, got {scopes!r}")
    return [check_id(scope, "scope") for scope in dict.fromkeys(scopes)]


def changes(
    values: Mapping[str, Mapping[str, Any]],
    removed: Mapping[str, Sequence[str]],
    bounds: StorageBounds,
    chain: Chain | None,
) -> list[ScopeChange]:
    """Return the changes of scopes that travel with an append. Raises InvalidInput."""
    for given, name in ((values, "shared"), (removed, "remove_shared")):
        mapping(given, name)
    found = [
        change(check_id(scope, "scope"), values.get(scope, {}), removed.get(scope, ()), bounds, chain)
        for scope in dict.fromkeys([*values, *removed])
    ]
    return [one for one in found if one.sets or one.removed]


def change(
    scope: str, values: Mapping[str, Any], removed: Collection[str], bounds: StorageBounds, chain: Chain | None
) -> ScopeChange:
    """Return a change as scripts take it. Raises InvalidInput."""
    mapping(values, "values")
    names = [check_name(name) for name in dict.fromkeys(texts(removed, "names"))]
    check_number(bounds, "shared_values", len(names), "names")
    check_no_contradiction(values, names)
    sets = {
        check_name(name): encoded_shared(chain, scope, name, to_json(value, name).encode())
        for name, value in values.items()
    }
    check_number(bounds, "shared_values", len(sets), "values")
    check_number(bounds, "shared_bytes", sum(len(name.encode()) + len(one) for name, one in sets.items()), "values")
    return ScopeChange(scope, sets, names)


def write(
    keys: SharedKeys,
    change: ScopeChange,
    operation: str,
    bounds: StorageBounds,
    *,
    ttl_ms: int | None = None,
    clear: bool = False,
) -> Call[int]:
    """Change a scope, exactly once for an operation ID. The result is how many of the removed values were there.

    Args:
        ttl_ms: how long the scope lives after a write, 0 for ever. None as before.
        clear: remove all values.
    """
    return invoke(
        script("shared/write"), keys, lambda reply: int(words_of(reply, "write", operation)[0]), operation=operation,
        operation_id=operation, ttl_ms=_ttl(ttl_ms), max_bytes=bounds.shared_bytes, max_values=bounds.shared_values,
        clear=int(clear), set_count=len(change.sets),
        rest=[*[part for pair in change.sets.items() for part in pair], *change.removed],
    )  # fmt: skip


def add(
    keys: SharedKeys, name: str, amount: int, batch_id: str | None, bounds: StorageBounds, *, ttl_ms: int | None
) -> Call[int]:
    """Add to a whole number. The result is the sum."""
    operation = operation_id_of(batch_id)
    kind = f"add:{sha1(check_name(name).encode(), usedforsecurity=False).hexdigest()[:8]}"
    return invoke(
        script("shared/add"), keys, lambda reply: int(words_of(reply, kind, operation)[0]), operation=operation,
        operation_id=operation, ttl_ms=_ttl(ttl_ms), max_bytes=bounds.shared_bytes, max_values=bounds.shared_values,
        value_name=name, amount=whole(amount, "amount", minimum=-(2**53)), kind=kind,
    )  # fmt: skip


def _ttl(ttl_ms: int | None) -> Argument:
    return "" if ttl_ms is None else ttl_ms


def get(keys: SharedKeys, name: str, default: Any, chain: Chain | None) -> Call[Any]:
    """Read one value, or the default. InvalidState when it is damaged."""
    check_name(name)

    def read(reply: bytes | None) -> Any:
        return default if reply is None else _value(chain, keys.id, name, reply)

    return Call(("HGET", keys.values, name), keys, read, writes=False)


def get_all(keys: SharedKeys, chain: Chain | None) -> Call[dict[str, Any]]:
    """Read all values by name. InvalidState that names a damaged one."""

    def read(reply: list[bytes]) -> dict[str, Any]:
        found = dict(zip([name.decode() for name in reply[::2]], reply[1::2], strict=True))
        return {name: _value(chain, keys.id, name, found[name]) for name in sorted(found)}

    return Call(("HGETALL", keys.values), keys, read, writes=False)


def _value(chain: Chain | None, scope: str, name: str, stored: bytes) -> Any:
    try:
        return from_json(decoded_shared(chain, scope, name, stored))
    except (ValueError, RecursionError) as problem:
        detail = f"the stored value of scope {scope!r} is damaged: {problem}"
        raise InvalidState(name=name, detail=detail) from None


def stored_values(keys: SharedKeys) -> Call[dict[bytes, bytes]]:
    """Read all values as they are stored."""
    return Call(
        ("HGETALL", keys.values), keys, lambda reply: dict(zip(reply[::2], reply[1::2], strict=True)), writes=False
    )


def delete_all(keys: SharedKeys) -> Call[int]:
    """Delete a scope, with what is known of its operations."""
    return Call(("DEL", keys.values, keys.log), keys, int)


def count(keys: SharedKeys) -> Call[int]:
    """Count the values of a scope."""
    return Call(("HLEN", keys.values), keys, int, writes=False)


def register(index: ScopeIndexKeys, scope: str, bounds: StorageBounds) -> Call[bool]:
    """Register a scope that is about to hold values."""
    return invoke(
        script("shared/register"), index, lambda reply: True, scope=scope, max_scopes=bounds.scopes
    )  # fmt: skip


def unregister(index: ScopeIndexKeys, scopes: Sequence[str], *, at_once: bool = False) -> Call[None]:
    """Remove scopes that hold no values from the index, unless they were registered lately and `at_once` is false."""
    grace_ms = 0 if at_once else _GRACE_MS
    return invoke(script("shared/unregister"), index, lambda reply: None, grace_ms=grace_ms, rest=scopes)


def registered(index: ScopeIndexKeys, prefix: str, cursor: str | None, limit: int) -> Call[list[str]]:
    """Read names of scopes with a prefix that come behind a cursor, ascending by their bytes."""
    low = f"[{prefix}" if cursor is None or cursor < prefix else f"({cursor}"
    command = ("ZRANGE", index.names, low, f"[{prefix}{_LAST_CHARACTER}", "BYLEX", "LIMIT", 0, limit)
    return Call(command, index, lambda reply: [one.decode() for one in reply], writes=False)
